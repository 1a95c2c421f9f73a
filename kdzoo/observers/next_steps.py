"""What a person can do with a finished run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def next_steps(folder: Path, recipe: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """Commands, and the line of Python that loads the student.

    Args:
        folder: of the run.
        recipe: its recipe as plain data.
        result: its result.
    """
    run, student = shlex.quote(str(folder)), folder / "student"
    reads = recipe.get("roles", {}).get("student", {}).get("modality", "image")
    steps = []
    if reads == "image":
        steps.append(f"kdzoo predict {run} PICTURES...")
        if result.get("test/last") is not None:
            steps.append(f"kdzoo evaluate {run}")
        steps.append(f"kdzoo export {run} --to onnx")
    steps.append(f"kdzoo report {run}")
    if "model.pt2" in result.get("files", ()):
        steps.append(f'torch.export.load("{student / "model.pt2"}").module()')
    else:
        steps.append(f'timm.create_model("local-dir:{student}", pretrained=True)')
    return steps
