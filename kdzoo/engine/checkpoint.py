"""The checkpoint: one file that is replaced whole, and loads as tensors and plain values only."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io import TorchCheckpointIO

from kdzoo.errors import KdzooError

_FORMAT = 1


class CheckpointFile:
    """``checkpoint/last.ckpt`` of a run's folder."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self.path = folder / "last.ckpt"
        self._recipe = recipe

    def save(self, content: dict[str, Any]) -> None:
        """Write a new checkpoint; a crash at any moment leaves the old one or the new one.

        Raises:
            KdzooError: the folder is full or cannot be written; the old checkpoint is kept.
        """
        temporary = self.path.with_name("next.ckpt")
        try:
            content = {**content, "format": _FORMAT, "recipe": self._recipe}
            TorchCheckpointIO().save_checkpoint(content, temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise KdzooError(f"{self.path}: cannot write the checkpoint: {error.strerror or error}") from None

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The checkpoint, or None if there is none yet.

        Raises:
            KdzooError: the file is corrupt, or belongs to another recipe.
        """
        if not self.path.exists():
            return None
        try:
            content = torch.load(self.path, map_location=device, weights_only=True)
            form, recipe = content["format"], content["recipe"]
        except (
            OSError,
            RuntimeError,
            EOFError,
            pickle.UnpicklingError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise KdzooError(
                f"{self.path}: not a readable checkpoint ({text}); start again with another --output"
            ) from None
        if form != _FORMAT:
            raise KdzooError(f"{self.path}: checkpoint format {form}, this version reads {_FORMAT}")
        if recipe != self._recipe:
            raise KdzooError(
                f"{self.path}: belongs to another recipe; resume with the recipe.yaml beside it and no other flags"
            )
        found: dict[str, Any] = content
        return found
