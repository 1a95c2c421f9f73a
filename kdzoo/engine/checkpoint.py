"""Checkpoints: two copies, each checked against its own check sum, of tensors and plain values only."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError

from kdzoo.errors import Damaged, Fault
from kdzoo.files import replace_file
from kdzoo.recipe.identity import Differs, Identity

_FORMAT = 3
_MARK = b"\nkdzoo checkpoint, sha256 "
_SEAL = len(_MARK) + 64
"""Bytes at the end of the file: the mark, and the sha256 of all that comes before it as hex digits."""


class _Content(BaseModel):
    """The content of a checkpoint."""

    model_config = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)

    format: NonNegativeInt
    identity: dict[str, Any]
    position: dict[str, Any]
    state: dict[str, Any]
    run: dict[str, Any]
    rng: dict[str, Any]
    journal: Annotated[list[Any], Field(min_length=2, max_length=2)]
    seconds: Annotated[list[NonNegativeFloat], Field(min_length=2, max_length=2)]
    teachers: dict[str, str | None]


class CheckpointFile:
    """``last.ckpt`` and, in case it is damaged, ``previous.ckpt`` in the folder ``checkpoint/`` of a run.

    Args:
        folder: ``checkpoint/`` in the run's folder.
        identity: the run's; a checkpoint of another run is refused.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.path = folder / "last.ckpt"
        self.previous = folder / "previous.ckpt"
        self.identity = identity
        self.damaged: list[str] = []
        """The damaged files that :meth:`load` skipped, one line each."""

    def save(self, content: dict[str, Any]) -> None:
        """Write a new checkpoint and keep the previous one; a crash at any moment leaves one of them.

        Raises:
            KdzooError: the folder is full or cannot be written; the old checkpoints are kept.
        """
        whole = {**content, "format": _FORMAT, "identity": self.identity.dump()}

        def write(part: Path) -> None:
            TorchCheckpointIO().save_checkpoint(whole, part)
            with part.open("r+b") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                file.seek(0, os.SEEK_END)
                file.write(_MARK + digest.encode())
            with suppress(FileNotFoundError):
                self.path.replace(self.previous)

        replace_file(self.path, write)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The last undamaged checkpoint, or None if there is none yet.

        Raises:
            Damaged: every file is damaged, or the format differs.
            Differs: it belongs to another run; the message names the difference.
        """
        found = None
        for path in (self.path, self.previous):
            if found is None and path.exists():
                try:
                    found = _read(path, device)
                except (OSError, ValueError) as error:
                    self.damaged.append(f"{path}: not a readable checkpoint ({error})")
        if found is None:
            if self.damaged:
                raise Damaged(f"{self.damaged[0]}; start again with another --output")
            return None
        if found["format"] != _FORMAT:
            raise Damaged(
                f"{self.path}: checkpoint format {found['format']}, this version reads {_FORMAT}; start again "
                "with another --output"
            )
        differences = self.identity.differences(Identity.load(found["identity"]))
        if differences:
            raise Differs(f"{self.path.parent.parent}: cannot resume", differences)
        return found

    def forget_previous(self) -> None:
        """Remove the copy that a finished run no longer needs."""
        with suppress(OSError):
            self.previous.unlink(missing_ok=True)


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    """The content of the file.

    Raises:
        OSError: it cannot be read.
        ValueError: its content differs from what :meth:`CheckpointFile.save` wrote.
    """
    whole = path.read_bytes()
    content, seal = whole[:-_SEAL], whole[-_SEAL:]
    if not seal.startswith(_MARK):
        content = whole  # of an earlier version, or cut
    elif seal[len(_MARK) :] != hashlib.sha256(content).hexdigest().encode():
        raise ValueError("its check sum differs from its content")
    try:
        found = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:  # a damaged archive can raise any exception
        raise ValueError(next(iter(str(error).splitlines()), type(error).__name__)) from None
    if isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] < _FORMAT:
        return found
    if content is whole:
        raise ValueError("its end is missing")
    try:
        _Content.model_validate(found)
        Identity.load(found["identity"])
    except ValidationError as error:
        raise ValueError(str(Fault.first(error))) from None
    except (KeyError, TypeError) as error:
        raise ValueError(f"identity: {error}") from None
    return dict(found)
