"""A reinforced set as data: its pictures, the views that its epochs show, and its files of answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kdzoo.counter_rng import below, draws, key
from kdzoo.errors import KdzooError
from kdzoo.files import sha256_of
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.reinforced import ABOUT, NAMES, PICTURES, Facts, as_decided, finished, set_of, view_file


@dataclass(frozen=True)
class Reinforced:
    """A set in its folder."""

    folder: Path
    facts: Facts

    @property
    def hash(self) -> str:
        """Identifies its views, its answers and its pictures."""
        plain = self.facts.model_dump(mode="json", exclude={"licence", "kdzoo"})
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def config(self, given: DataConfig) -> DataConfig:
        """The settings with which the pictures are opened, and their views are drawn again.

        Raises:
            KdzooError: a given one is another than the set's.
        """
        own = self.facts.data
        pictures = None if own.data_dir is None else self.folder / PICTURES
        where = {"dataset": own.dataset, "data_dir": pictures}
        return as_decided(given, self.facts, self.folder).model_copy(update=where)

    def check(self, content: str, names: Sequence[str]) -> None:
        """Compare what identifies the pictures, and the names of the training images in the order of the answers.

        Raises:
            KdzooError: the pictures are others.
        """
        if content != self.facts.content:
            raise KdzooError(
                f"{self.folder / PICTURES}: not the pictures that the set was made of: their hash is "
                f"{content[:20]}…, and that of the set {self.facts.content[:20]}…"
            )
        path = self.folder / NAMES
        if sha256_of(path) != self.facts.files[NAMES]:
            raise KdzooError(f"{path}: missing, or not what was written")
        if json.loads(path.read_text(encoding="utf-8")) != list(names):
            raise KdzooError(f"{path}: names other pictures than {self.folder / PICTURES} has")

    def drawn(self, seed: int, epoch: int, index: Tensor) -> Tensor:
        """(B,) int64: the view that each sample has in an epoch; in every V epochs it has each of them once."""
        number = self.facts.views
        round_, place = divmod(epoch, number)
        first = below(draws(key("reinforced", seed, round_), index, range(1))[0], number)
        return (first + place) % number

    def read(self, view: int) -> tuple[Tensor, Tensor | None]:
        """The logits that a view's file keeps, and of which classes they are; of all classes, in order, if None.

        Of K classes there are K + 1 columns: the last one is the logit of every other class.

        Raises:
            KdzooError: the file is missing, or not what was written.
        """
        facts, name = self.facts, view_file(view)
        path = self.folder / name
        if sha256_of(path) != facts.files[name]:
            what = "not what was written" if path.is_file() else "missing"
            raise KdzooError(f"{path}: {what}; the command that made the set makes it again")
        some = facts.top_k < len(facts.classes)
        wanted = {"logits": [facts.images, facts.top_k + some]}
        wanted |= {"classes": [facts.images, facts.top_k]} if some else {}
        try:
            with safe_open(path, framework="pt") as file:
                found = {one: file.get_tensor(one) for one in file.keys()}  # noqa: SIM118  # no mapping
        except (SafetensorError, OSError) as error:
            raise KdzooError(f"{path}: cannot be read: {error}") from None
        if {one: list(tensor.shape) for one, tensor in found.items()} != wanted:
            raise KdzooError(f"{path}: not the shapes that {ABOUT} says")
        logits, classes = found["logits"], found.get("classes")
        if logits.dtype != getattr(torch, facts.precision) or not bool(logits.isfinite().all()):
            raise KdzooError(f"{path}: logits that are not finite numbers of the precision that {ABOUT} says")
        if classes is not None and (
            classes.is_floating_point() or int(classes.min()) < 0 or int(classes.max()) >= len(facts.classes)
        ):
            raise KdzooError(f"{path}: names a class that the set does not have")
        return logits, classes


def find(config: DataConfig) -> Reinforced | None:
    """The reinforced set that ``data_dir`` is, if it is one.

    Raises:
        KdzooError: it is not finished, or not what was written.
    """
    folder = set_of(config)
    return None if folder is None else Reinforced(folder, finished(folder))
