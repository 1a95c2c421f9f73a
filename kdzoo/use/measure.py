"""One pass over labelled pictures: the figures of each network, and the pictures that it errs on most surely."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdzoo.api.batch import UNLABELLED
from kdzoo.data.counted import some
from kdzoo.data.listing import Pixels
from kdzoo.engine.predictions import Predictions, count
from kdzoo.errors import KdzooError
from kdzoo.use.data import Labelled
from kdzoo.use.decoding import batched, from_listing, in_threads
from kdzoo.use.model import Model

_NONE = -1
"""No class of the data."""

MOST_ERRORS = 24


@dataclass(frozen=True, eq=False)
class Mistake:
    """A picture whose class was not found.

    Attributes:
        confidence: of the class that was found, in [0, 1].
        name: of the picture.
        true: its class.
        found: the class that the network names.
        pixels: (H, W, C), as the network sees it.
    """

    confidence: float
    name: str
    true: str
    found: str
    pixels: Pixels = field(repr=False)


@dataclass(frozen=True, eq=False)
class Measured:
    """A network's answers to a split, counted.

    Attributes:
        model: the network.
        counts: its figures; see :class:`kdzoo.engine.predictions.Predictions`.
        found: (n,) class ids that it named, -1 for a class that the data lack.
        mistakes: the surest ones, surest first.
    """

    model: Model
    counts: Predictions
    found: Tensor
    mistakes: tuple[Mistake, ...]

    def figures(self) -> dict[str, float | None]:
        """In percent, by name; as in training, and the macro figures beside the accuracy."""
        many = len(self.counts.labels) > 5
        return {
            "accuracy": self.counts.accuracy,
            **({"top5": self.counts.top5} if many else {}),
            "balanced_accuracy": _mean(self.recalls()),
            "macro_f1": self.counts.macro_f1,
            "ece": self.counts.ece,
        }

    def recalls(self) -> list[float | None]:
        """Percent of each class's pictures that were found; None of a class without pictures."""
        return _shares(self.counts.right, self.counts.labels)

    def by_class(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Each class with its pictures, recall, precision and F1 in percent; None where they are not defined."""
        right = self.counts.right
        columns = zip(
            classes, self.counts.labels.long().tolist(), self.recalls(), _shares(right, self.counts.found),
            _shares(2 * right, self.counts.labels + self.counts.found), strict=True,
        )  # fmt: skip
        return [
            {"class": name, "pictures": number, "recall": recall, "precision": precision, "f1": f1}
            for name, number, recall, precision, f1 in columns
        ]


@dataclass(frozen=True, eq=False)
class Pass:
    """The result of a pass.

    Attributes:
        models: each network's answers.
        targets: (n,) class ids of the labelled pictures that could be read.
        unreadable: picture -> why.
        unlabelled: number of pictures without a label, which were left out.
    """

    models: tuple[Measured, ...]
    targets: Tensor
    unreadable: dict[str, str]
    unlabelled: int


def measure(models: Sequence[Model], data: Labelled, *, batch: int = 32) -> Pass:
    """Ask every network about every labelled picture of the split; each picture is decoded once.

    Args:
        models: classifiers; classes are matched by name.
        data: the split.
        batch: pictures at once.

    Raises:
        KdzooError: a network's classes do not fit, it has none, or no picture has a label or can be read.
    """
    places = [class_ids(model, data) for model in models]
    labelled = [number for number, target in enumerate(data.targets.tolist()) if target != UNLABELLED]
    if not labelled:
        raise KdzooError(f"the {data.what} has no labels to measure with")
    ways = list(
        dict.fromkeys(
            model.description.preprocessing.model_copy(update={"included": False}) for model in models
        )
    )
    way_of = [
        ways.index(model.description.preprocessing.model_copy(update={"included": False})) for model in models
    ]
    make = from_listing(data.listing, ways)
    tallies = [_Tally(model, ids, data) for model, ids in zip(models, places, strict=True)]
    unreadable: dict[str, str] = {}
    targets = []
    for numbers, made in in_threads(batched(labelled, batch), lambda number: make(data.rows[number])):
        good = [(number, one) for number, one in zip(numbers, made, strict=True) if not isinstance(one, str)]
        for number, one in zip(numbers, made, strict=True):
            if isinstance(one, str):
                unreadable[data.listing.names[data.rows[number]]] = one
        if not good:
            continue
        target = data.targets[[number for number, _ in good]]
        names = [data.listing.names[data.rows[number]] for number, _ in good]
        targets.append(target)
        for tally, way in zip(tallies, way_of, strict=True):
            tally.add(np.stack([one[way] for _, one in good]), target, names)
    if not targets:
        raise KdzooError(f"no picture of the {data.what} can be read: {next(iter(unreadable.items()))}")
    done = tuple(tally.measured() for tally in tallies)
    return Pass(done, torch.cat(targets), unreadable, len(data.rows) - len(labelled))


def class_ids(model: Model, data: Labelled) -> Tensor:
    """(K,) the data's class id of each logit, -1 where they lack its class.

    Raises:
        KdzooError: the network has no names for its classes, or lacks one of the data's.
    """
    names = model.description.label_names
    if model.description.output != "logits":
        raise KdzooError(f"{model.name} has no classifier: it returns features (kdzoo probe measures those)")
    if names is None:
        raise KdzooError(
            f"{model.name} does not say what its classes are called, so they cannot be matched to the data's"
        )
    number = {name: place for place, name in enumerate(data.classes)}
    lacking = [name for name in data.classes if name not in set(names)]
    if lacking:
        raise KdzooError(
            f"{model.name} does not know {some(lacking)} of the {data.what} (it knows {some(list(names))}): name "
            "the folders as its classes are called"
        )
    return torch.tensor([number.get(name, _NONE) for name in names])


class _Tally:
    """Counts one network's answers."""

    def __init__(self, model: Model, ids: Tensor, data: Labelled) -> None:
        self._model, self._ids, self._data = model, ids, data
        self._rows: list[Tensor] = []
        self._worst: list[tuple[float, int, Mistake]] = []
        self._seen = 0

    def add(self, pixels: Pixels, target: Tensor, names: Sequence[str]) -> None:
        logits = self._model.answer(pixels)
        if logits.shape[1] != len(self._ids):
            raise KdzooError(
                f"{self._model.name}: {logits.shape[1]} logits, and names for {len(self._ids)} classes"
            )
        confidence, place = logits.double().softmax(1).max(1)
        five = self._ids[logits.topk(min(5, logits.shape[1]), dim=1).indices]
        found = self._ids[place]
        no_teacher = torch.full_like(target, _NONE)
        rows = [target, found, (five == target[:, None]).any(1), confidence, no_teacher]
        self._rows.append(torch.stack([row.double() for row in rows]))
        for number in (found != target).nonzero().flatten().tolist():
            self._seen += 1
            entry = float(confidence[number]), -self._seen
            if len(self._worst) == MOST_ERRORS and entry < self._worst[0][:2]:
                continue
            named = self._model.description.name_of(int(place[number]))
            mistake = Mistake(
                entry[0], names[number], self._data.classes[int(target[number])], named, pixels[number]
            )
            (heapq.heappush if len(self._worst) < MOST_ERRORS else heapq.heappushpop)(
                self._worst, (*entry, mistake)
            )

    def measured(self) -> Measured:
        rows = torch.cat(self._rows, dim=1)
        counts = Predictions(**count(rows, len(self._data.classes)))
        surest = tuple(mistake for *_, mistake in sorted(self._worst, reverse=True))
        return Measured(self._model, counts, rows[1].long(), surest)


def majority(targets: Tensor, classes: Sequence[str]) -> tuple[str, dict[str, float]]:
    """The largest class, and the figures of a network that always names it: what accuracy alone is worth."""
    counts = torch.bincount(targets, minlength=len(classes)).double()
    share = float(counts.max() / counts.sum())
    there = int((counts > 0).sum())
    figures = {
        "accuracy": 100 * share,
        "balanced_accuracy": 100 / there,
        "macro_f1": 100 * 2 * share / (1 + share) / there,
    }
    return classes[int(counts.argmax())], figures


def _shares(parts: Tensor, wholes: Tensor) -> list[float | None]:
    return [
        100 * part / whole if whole else None
        for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
