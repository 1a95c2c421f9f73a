"""The store: what frozen teachers answered, kept for runs that ask the same again.

A frozen teacher's answer is a pure function of its weights and of the view, and a view of (seed, epoch, index). So
the first run records the answers while it trains, and a later one with the same teacher, data, views and batches
replays them: bit for bit what the teacher would answer on this kind of device, without its forward pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from kdzoo.api.batch import Batch, Origin, Output
from kdzoo.api.network import Backbone
from kdzoo.engine.role import Role
from kdzoo.engine.sharded import is_sharded
from kdzoo.engine.stopwatch import Seconds
from kdzoo.engine.stored_epoch import Epoch, Recording
from kdzoo.engine.weights import weights_hash
from kdzoo.engine.writer import Writer
from kdzoo.errors import Damaged, KdzooError
from kdzoo.files import write_json

ABOUT = "about.json"
"""In the folder of a teacher's answers: what decides them."""


class Replays(Protocol):
    """Answers in the place of frozen teachers."""

    def recall(self, member: Role, batch: Batch) -> Output | None:
        """The answer of ``member``, or None where it must be asked."""

    def keep(self, member: Role, batch: Batch, answer: Output, seconds: Seconds) -> None:
        """Take note of an answer that it was asked for, which took so long."""

    def close(self) -> None:
        """End, and wait for what is being written."""

    def figures(self) -> Mapping[str, float]:
        """What it did, for the result."""


@dataclass
class Replayed:
    """How much the store did in this process.

    Attributes:
        asked: images for which a frozen teacher's answer was wanted in training.
        answers: those whose answer was replayed.
        recorded: those whose answer was recorded.
        seconds: the time that the teacher took for the replayed ones when they were recorded.
    """

    asked: int = 0
    answers: int = 0
    recorded: int = 0
    seconds: float = 0.0


@dataclass(eq=False)
class _Shelf:
    """The answers of one teacher.

    Attributes:
        folder: their files.
        version: sum of the versions of its weights when their hash was taken.
        opened: (epoch, part of the split, part of the answer) -> the stored epoch, or None if there is none.
        recording: the same -> what is being recorded.
    """

    folder: Path
    version: int
    opened: dict[tuple[int, str, str], Epoch | None] = field(default_factory=dict)
    recording: dict[tuple[int, str, str], Recording] = field(default_factory=dict)


class Store:
    """Records and replays the answers of frozen teachers whose weights come from a file.

    Args:
        folder: the folder of all answers.
        decides: everything but the weights that decides an answer.
        limit: bytes that the answers of one teacher under one ``decides`` may take.
        warn: is told why the store stops recording, and of damaged files.
    """

    def __init__(
        self, folder: Path, decides: Mapping[str, Any], limit: int, warn: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._decides = dict(decides)
        self._warn = warn
        self._shelves: WeakKeyDictionary[nn.Module, _Shelf] = WeakKeyDictionary()
        self._writer = Writer(limit, warn)
        self.replayed = Replayed()

    def recall(self, member: Role, batch: Batch) -> Output | None:
        """The stored answer of ``member``, or None if there is none or it may not be used."""
        shelf = self._shelf(member, batch)
        if shelf is None:
            return None
        origin = _origin(batch)
        self.replayed.asked += len(batch)
        epochs = [self._open(shelf, origin, part) for part in _parts(member)]
        if any(epoch is None for epoch in epochs):
            return None
        found = [epoch.rows(origin) for epoch in epochs if epoch is not None]
        if any(rows is None for rows in found):
            return None
        self.replayed.answers += len(batch)
        self.replayed.seconds += epochs[0].seconds / origin.steps if epochs[0] is not None else 0.0
        return _joined(member, [rows.to(origin.device) for rows in found if rows is not None])

    def keep(self, member: Role, batch: Batch, answer: Output, seconds: Seconds) -> None:
        """Record an answer that took so many ``seconds``; an epoch is written when all its steps are there."""
        shelf = self._shelf(member, batch)
        if shelf is None or not self._writer.on:
            return
        origin, written = _origin(batch), 0
        for part, tensor in zip(_parts(member), _taken_apart(member, answer), strict=True):
            at = (origin.epoch, origin.part, part)
            if shelf.opened.get(at) is not None:
                continue
            if at not in shelf.recording:
                if origin.step:
                    continue  # gone on with in the middle of an epoch
                self._forget_other_epochs(shelf, origin)
                shelf.recording[at] = Recording(origin, tensor)
            if shelf.recording[at].add(origin, tensor, seconds):
                whole = shelf.recording.pop(at)
                if self._writer.write(whole, shelf.folder / _file(*at)):
                    written = whole.images
                shelf.opened.pop(at, None)
        self.replayed.recorded += written

    def close(self) -> None:
        """Wait until everything that was recorded is written."""
        self._writer.close()

    def figures(self) -> dict[str, float]:
        """For the result: images that frozen teachers were asked for, those replayed and recorded, seconds saved."""
        done = self.replayed
        if not done.asked:
            return {}
        return {
            "teacher/asked": done.asked,
            "teacher/replayed": done.answers,
            "teacher/recorded": done.recorded,
            "teacher/seconds_saved": done.seconds,
        }

    def _shelf(self, member: Role, batch: Batch) -> _Shelf | None:
        """The shelf of a role whose answer for this batch is a pure function of what the key names."""
        module = member.module
        if member.learns or member.stored or member.reads or member.probes or module.training:
            return None
        if is_sharded(module):  # one process alone cannot ask it, should only its file be damaged
            return None
        if batch.origin is None or not batch.origin.holds(batch, member.modality):
            return None
        if not isinstance(module, Backbone):
            return None
        version = sum(one._version for one in (*module.parameters(), *module.buffers()))
        if module not in self._shelves:
            self._shelves[module] = self._new_shelf(module, member, version)
        shelf = self._shelves[module]
        return shelf if shelf.version == version else None

    def _new_shelf(self, module: Backbone, member: Role, version: int) -> _Shelf:
        decides = {
            **self._decides,
            "teacher": module.name,
            "weights": weights_hash(module),
            "input_size": list(module.input_size),
            "mean": module.mean.flatten().tolist(),
            "std": module.std.flatten().tolist(),
            "modality": member.modality,
        }
        key = hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()
        folder = self._folder / f"{module.name.rpartition('/')[2]}-{key[:32]}"
        if self._writer.make(folder):
            try:
                write_json(folder / ABOUT, json.loads(json.dumps(decides, default=str)))
            except KdzooError as error:
                self._writer.stop(str(error))
        return _Shelf(folder, version)

    def _open(self, shelf: _Shelf, origin: Origin, part: str) -> Epoch | None:
        at = (origin.epoch, origin.part, part)
        if at not in shelf.opened:
            for old in [one for one in shelf.opened if one[0] != origin.epoch]:
                del shelf.opened[old]
            path = shelf.folder / _file(*at)
            self._writer.finish(path)
            try:
                shelf.opened[at] = Epoch.read(path, origin.device)
            except FileNotFoundError:
                shelf.opened[at] = None
            except Damaged as error:
                self._warn(f"{path}: {error}; the teacher is asked again")
                path.unlink(missing_ok=True)
                shelf.opened[at] = None
        return shelf.opened[at]

    def _forget_other_epochs(self, shelf: _Shelf, origin: Origin) -> None:
        for old in [one for one in shelf.recording if one[0] != origin.epoch]:
            del shelf.recording[old]


def _origin(batch: Batch) -> Origin:
    assert batch.origin is not None
    return batch.origin


def _file(epoch: int, of_split: str, part: str) -> str:
    return f"{epoch:05d}{f'-{of_split}' if of_split else ''}-{part}.safetensors"


def _classifies(member: Role) -> bool:
    return not isinstance(member.module, Backbone) or member.module.num_classes > 0


def _parts(member: Role) -> list[str]:
    """The parts of the role's answer. With stages tapped, timm computes the logits in another function."""
    way = "stages" if member.stages else "plain"
    logits = [f"logits-{way}"] if _classifies(member) else []
    embedding = [f"embedding-{way}"] if member.embedding or not logits else []
    return [*logits, *embedding, *(f"stage{stage}" for stage in member.stages)]


def _taken_apart(member: Role, answer: Output) -> list[Tensor]:
    logits = [answer.logits] if _classifies(member) else []
    embedding = [answer.embedded] if member.embedding or not logits else []
    return [*logits, *embedding, *answer.features]


def _joined(member: Role, parts: list[Tensor]) -> Output:
    rest = list(parts)
    logits = rest.pop(0) if _classifies(member) else None
    embedding = rest.pop(0) if member.embedding or logits is None else None
    return Output(logits, tuple(rest), embedding, role=member.name)
