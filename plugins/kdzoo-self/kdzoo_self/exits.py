"""A network whose deepest classifier teaches its exits: Zhang, Song, Gao, Chen, Bao and Ma 2019."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor

from kdzoo.api import UNLABELLED, Backbone, Batch, KdzooError, Run, Scheme, Tune, evaluating, seeded
from kdzoo_self.exit import Exit
from kdzoo_self.functional import first_confident
from kdzoo_self.progressive import Progressive

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
"""The thresholds that are reported; one of them is chosen on the validation split."""

TOLERANCE = 0.5
"""Percentage points of validation accuracy that early exit may lose."""

_CARD = """## Answering early

`exits.safetensors` and `exits.json` hold the exits that were trained with this network. With them an image leaves the
network at the first exit that is sure of it, and the deeper layers see the rest only (needs `kdzoo-self`):

```python
import torch
from kdzoo_self.progressive import Progressive

model = Progressive.load("{folder}")  # or Progressive.load("{folder}", threshold=0.95)
images = torch.rand(8, {channels}, {height}, {width})  # values in [0, 1]; the model normalises them itself
logits, exit_that_answered = model.answer(images)
```

Here an exit is sure where its highest probability is above {threshold}, {why}. On the test split:

| threshold | accuracy, % | cost | {columns} |
|---|---|---|{rules}|
{rows}

Cost is in floating-point operations, relative to the network without exits. The columns after it say how many images
each exit answered, in percent.
"""


class SelfExits(Scheme):
    """Exits on the student's stages learn from the deepest classifier, which is the student's own.

    The roles are ``student`` and ``exit1``, ``exit2``, ... from shallow to deep.

    Args:
        stages: the stages that get an exit; -1 is the deepest stage, which has the student's own classifier.
        threshold: probability above which an image leaves. With a validation split, the lowest of a few that
            loses at most half a point of accuracy there is used instead.
    """

    name = "self-exits"
    kind = "self"

    def __init__(
        self,
        stages: Annotated[tuple[Annotated[int, Field(le=-2)], ...], Field(min_length=1)] = (-3, -2),
        threshold: Annotated[float, Field(ge=0, le=1), Tune(fixed=True)] = 0.9,
    ) -> None:
        self.stages = tuple(sorted(set(stages)))
        self.threshold = threshold
        self.roles = tuple(f"exit{number}" for number in range(1, len(self.stages) + 1))
        self._figures: Mapping[str, float] = {}
        self._why = "the value that was set"

    def enroll(self, run: Run) -> None:
        """Enroll the student and its exits."""
        student = run.build("student")
        assert isinstance(student, Backbone)
        maps = _shapes(student, (*self.stages, -1))
        width, side = maps[-1][1], maps[-1][2]
        # The exits' initial weights depend only on the recipe's seed, and change no other random numbers.
        with seeded(_seed(run)):
            exits = [
                Exit(shape[1], width, student.num_classes, max(0, round(math.log2(shape[2] / side))))
                for shape in maps[:-1]
            ]
        # This refuses a student that cannot have exits.
        Progressive(student, [one.to(run.device) for one in exits], self.stages)
        run.enroll("student", student)
        for role, stage, one in zip(self.roles, self.stages, exits, strict=True):
            run.enroll(role, one, student=True, reads="student", stages=(stage,))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From the deepest classifier to each exit."""
        return [(role, "student") for role in self.roles]

    def measure(self, run: Run) -> Mapping[str, float]:
        """Accuracy and cost of early exit on the test split, for several thresholds.

        ``progressive/T/accuracy`` and ``.../exitN`` (share of images that left there; the last N is the
        student) in percent, ``.../cost`` relative to the network without exits; ``progressive/threshold``:
        the chosen one.
        """
        progressive = self._progressive(run)
        if run.data.val is not None:
            self.threshold = self._choose(run)
            self._why = f"the lowest that cost at most {TOLERANCE} points of accuracy on the validation split"
        answers, target = self._answers(run, run.data.test)
        costs = progressive.costs(_image(run, next(iter(run.data.test)))[:1])
        figures: dict[str, float] = {"progressive/threshold": self.threshold}
        for threshold in sorted({*THRESHOLDS, self.threshold}):
            number = first_confident(answers, threshold)
            shares = (torch.bincount(number, minlength=len(costs)).double() / len(number)).cpu()
            name = f"progressive/{threshold:g}"
            figures[f"{name}/accuracy"] = _accuracy(answers, number, target)
            figures[f"{name}/cost"] = float(
                (shares * torch.tensor(costs, dtype=torch.float64, device="cpu")).sum()
            )
            figures |= {f"{name}/exit{n}": 100 * share for n, share in enumerate(shares.tolist(), 1)}
        mean = torch.stack([one.float().softmax(dim=1) for one in answers]).mean(dim=0)
        figures["test/ensemble"] = _accuracy([mean], torch.zeros_like(target), target)
        self._figures = figures
        return figures

    def export(self, run: Run, folder: Path) -> str:
        """Write the exits next to the student, and describe their use in its card."""
        self._progressive(run).save(folder)
        student = cast(Backbone, run.roles["student"])
        names = [f"exit{number}" for number in range(1, len(self.stages) + 2)]
        rows = []
        for threshold in sorted({*THRESHOLDS, self.threshold}) if self._figures else ():
            of = {
                key: self._figures[f"progressive/{threshold:g}/{key}"] for key in ("accuracy", "cost", *names)
            }
            shares = " | ".join(f"{of[name]:.0f}" for name in names)
            rows.append(f"| {threshold:g} | {of['accuracy']:.2f} | {of['cost']:.2f} | {shares} |")
        return _CARD.format(
            folder="student", channels=student.channels, height=student.input_size[0],
            width=student.input_size[1], threshold=f"{self.threshold:g}", why=self._why,
            columns=" | ".join(["exit " + str(n) for n in range(1, len(names))] + ["the deepest"]),
            rules="|".join("---" for _ in names), rows="\n".join(rows),
        )  # fmt: skip

    def _progressive(self, run: Run) -> Progressive:
        exits = [cast(Exit, run.roles[role]) for role in self.roles]
        return Progressive(cast(Backbone, run.roles["student"]), exits, self.stages, self.threshold)

    def _choose(self, run: Run) -> float:
        assert run.data.val is not None
        answers, target = self._answers(run, run.data.val)
        wanted = _accuracy(answers[-1:], torch.zeros_like(target), target) - TOLERANCE
        for threshold in THRESHOLDS:
            if _accuracy(answers, first_confident(answers, threshold), target) >= wanted:
                return threshold
        return 1.0

    def _answers(self, run: Run, split: Iterable[Batch]) -> tuple[list[Tensor], Tensor]:
        """The logits (N, K) of every exit, the deepest last, and the targets (N,)."""
        student = run.roles["student"]
        answers: list[list[Tensor]] = []
        targets: list[Tensor] = []
        for batch in split:
            assert batch.target is not None
            seen = student(_image(run, batch), self.stages)
            own = [
                cast(Exit, run.roles[role]).classify(feature)
                for role, feature in zip(self.roles, seen.features, strict=True)
            ]
            answers.append([*own, seen.logits])
            targets.append(batch.target)
        return [torch.cat(parts) for parts in zip(*answers, strict=True)], torch.cat(targets)


def _shapes(network: Backbone, stages: tuple[int, ...]) -> list[torch.Size]:
    """The shapes of these stages' maps; the network is not changed."""
    image = torch.zeros(1, network.channels, *network.input_size, device=network.mean.device)
    with evaluating(network), torch.no_grad():
        shapes = [one.shape for one in network(image, stages).features]
    if len(shapes) != len(stages):
        raise KdzooError(f"model {network.name!r} shows {len(shapes)} of the stages {stages}")
    return shapes


def _seed(run: Run) -> int:
    drawn = torch.randint(2**62, (1,), generator=run.generator("self-exits"), device=run.device)
    return int(drawn)


def _image(run: Run, batch: Batch) -> Tensor:
    return batch.inputs[run.recipe.roles["student"].modality]


def _accuracy(answers: list[Tensor], number: Tensor, target: Tensor) -> float:
    """Accuracy in percent of the exit of this number on the labelled samples."""
    found = torch.stack([one.argmax(dim=1) for one in answers]).gather(0, number.unsqueeze(0))[0]
    labelled = target != UNLABELLED
    return 100 * float((found == target)[labelled].double().mean())
