"""The checkpoint: one file that is replaced whole, and loads as tensors and plain values only."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io import TorchCheckpointIO

from kdzoo.errors import KdzooError
from kdzoo.files import replace_file
from kdzoo.recipe.identity import Differs, Identity

_FORMAT = 2


class CheckpointFile:
    """``checkpoint/last.ckpt`` of a run's folder.

    Args:
        folder: the checkpoint's, in that of the run.
        identity: of the run; a checkpoint of another one is refused.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.path = folder / "last.ckpt"
        self.identity = identity

    def save(self, content: dict[str, Any]) -> None:
        """Write a new checkpoint; a crash at any moment leaves the old one or the new one.

        Raises:
            KdzooError: the folder is full or cannot be written; the old checkpoint is kept.
        """
        whole = {**content, "format": _FORMAT, "identity": self.identity.dump()}
        replace_file(self.path, lambda part: TorchCheckpointIO().save_checkpoint(whole, part))

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The checkpoint, or None if there is none yet.

        Raises:
            KdzooError: the file is corrupt, or of another format.
            Differs: it belongs to another run; names what differs.
        """
        if not self.path.exists():
            return None
        try:
            content = torch.load(self.path, map_location=device, weights_only=True)
            form = content["format"]
            before = Identity.load(content["identity"]) if form == _FORMAT else None
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
        if before is None:
            raise KdzooError(
                f"{self.path}: checkpoint format {form}, this version reads {_FORMAT}; start again with another "
                "--output"
            )
        differences = self.identity.differences(before)
        if differences:
            raise Differs(f"{self.path.parent.parent}: cannot resume", differences)
        found: dict[str, Any] = content
        return found
