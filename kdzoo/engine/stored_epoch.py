"""One part of a teacher's answers in one epoch: a tensor with a row for each image, in the order of the steps."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kdzoo.api.batch import Origin
from kdzoo.engine.stopwatch import Seconds
from kdzoo.errors import Damaged
from kdzoo.files import replacing

_CHUNK = 1 << 22
"""Bytes per check sum."""
_IN_MEMORY = 1 << 28
"""Bytes up to which an epoch is loaded as a whole; of a larger one each step reads its rows."""


class Recording:
    """Collects the answers of an epoch, on their device if they are few, so that its host need not wait.

    Args:
        origin: of the first step.
        first: its answer, (B, ...).
    """

    def __init__(self, origin: Origin, first: Tensor) -> None:
        self._batch = len(first)
        self._next = 0
        self._seconds: list[Seconds] = []
        self._index: list[Tensor] = []
        self._nhwc = _is_nhwc(first)
        shape = _flat(first, self._nhwc).shape[1:]
        size = origin.steps * self._batch
        few = size * shape.numel() * first.element_size() <= _IN_MEMORY
        self._rows = first.new_empty((size, *shape), device=None if few else "cpu")
        self.exact = _flat(first, self._nhwc).is_contiguous()

    def add(self, origin: Origin, answer: Tensor, seconds: Seconds) -> bool:
        """Add a step's answer; whether the epoch is complete. One with a gap never is."""
        if origin.step != self._next or not self.exact:
            return False
        begin = origin.step * self._batch
        flat = _flat(answer, self._nhwc)
        self._rows[begin : begin + len(answer)].copy_(flat)
        self._index.append(origin.index)
        self._seconds.append(seconds)
        self._next += 1
        if self._next < origin.steps:
            return False
        self._rows = self._rows[: begin + len(answer)]
        return True

    @property
    def size(self) -> int:
        """In bytes."""
        return self._rows.nbytes

    @property
    def images(self) -> int:
        """How many were answered."""
        return len(self._rows)

    def write(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            OSError: there is no room, or no permission.
        """
        index, rows = torch.cat(self._index), self._rows.cpu()
        about = {
            "sums": _sums(rows, index),
            "batch": self._batch,
            "seconds": sum(one() for one in self._seconds),
            "nhwc": self._nhwc,
        }
        text = json.dumps(about)
        facts = {"about": text, "seal": hashlib.sha256(text.encode()).hexdigest()}
        with replacing(path) as part:
            try:
                save_file({"answers": rows, "index": index}, part, metadata=facts)
            except SafetensorError as error:  # what a full disk comes as
                raise OSError(str(error)) from None


@dataclass(eq=False)
class Epoch:
    """A stored epoch.

    Attributes:
        seconds: that the teacher took for it.
    """

    seconds: float
    _answers: Tensor
    _index: Tensor
    _batch: int
    _nhwc: bool

    @classmethod
    def read(cls, path: Path, device: torch.device) -> Epoch:
        """The epoch that :meth:`Recording.write` stored, every byte compared with a check sum.

        Raises:
            FileNotFoundError: there is none.
            Damaged: it is not what was written.
        """
        if not path.is_file():
            raise FileNotFoundError(path)
        try:
            with safe_open(path, framework="pt") as file:
                facts = file.metadata() or {}
                answers, index = file.get_tensor("answers"), file.get_tensor("index")
            text = facts["about"]
            if hashlib.sha256(text.encode()).hexdigest() != facts["seal"]:
                raise ValueError("its header is not what was written")
            about = json.loads(text)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            raise Damaged(f"cannot be read: {error}") from None
        if index.ndim != 1 or about["sums"] != _sums(answers, index):
            raise Damaged("its content is not what was written")
        if answers.nbytes <= _IN_MEMORY:
            answers = answers.to(device)
        return cls(about["seconds"], answers, index, about["batch"], about["nhwc"])

    def rows(self, origin: Origin) -> Tensor | None:
        """A copy of this step's answers in their memory format; None if they are not of the same images."""
        begin = origin.step * self._batch
        end = begin + len(origin.index)
        if not torch.equal(self._index[begin:end], origin.index):
            return None
        rows = self._answers[begin:end].clone()
        return rows.permute(0, 3, 1, 2) if self._nhwc else rows


def _is_nhwc(answer: Tensor) -> bool:
    return answer.ndim == 4 and not answer.is_contiguous()


def _flat(answer: Tensor, nhwc: bool) -> Tensor:
    return answer.permute(0, 2, 3, 1) if nhwc else answer


def _sums(answers: Tensor, index: Tensor) -> list[int]:
    shape = json.dumps([list(answers.shape), str(answers.dtype)]).encode()
    flat = answers.contiguous().view(-1).view(torch.uint8).numpy().data
    chunks = (flat[start : start + _CHUNK] for start in range(0, len(flat), _CHUNK))
    return [zlib.crc32(shape), zlib.crc32(index.contiguous().numpy().tobytes()), *map(zlib.crc32, chunks)]
