"""An exported student as a module."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import nn

from kdzoo.errors import KdzooError
from kdzoo.zoo.plugin import first_line


def open_student(folder: Path) -> nn.Module:
    """The network that a run exported, in eval mode on the CPU.

    Args:
        folder: ``student/`` of the run.

    Raises:
        KdzooError: there is none, or it cannot be read.
    """
    program = folder / "model.pt2"
    if not program.exists() and not (folder / "config.json").exists():
        raise KdzooError(f"{folder}: no student here: the run has not ended")
    try:
        if program.exists():
            return torch.export.load(program).module()
        model: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    except Exception as error:  # what a damaged file raises depends on its format
        raise KdzooError(f"{folder}: cannot be read: {first_line(error)}") from error
    return model.eval()
