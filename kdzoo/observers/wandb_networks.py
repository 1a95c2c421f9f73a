"""The networks that a run's artifacts are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def networks_of(
    job: str, recipe: Mapping[str, Any], student: Path | None, teacher: Path | None
) -> dict[str, tuple[str, str]]:
    """``student`` and ``teacher`` -> name of the artifact and absolute path of a file or a folder.

    Args:
        job: the job's name, that of the student's artifact.
        recipe: the resolved recipe; names the teacher's model.
        student: the exported student; None: left out.
        teacher: the teacher's weights; None: left out.
    """
    networks = {}
    if student is not None:
        networks["student"] = artifact_name(job), str(student.absolute())
    if teacher is not None:
        model = recipe.get("roles", {}).get("teacher", {}).get("model", teacher.stem)
        networks["teacher"] = artifact_name(f"teacher-{model}"), str(teacher.absolute())
    return networks


def data_name(recipe: Mapping[str, Any]) -> str:
    """The name of the artifact that stands for the run's data: that of the folder, or of the data set."""
    data = recipe.get("data")
    found = [data.get(key) for key in ("data_dir", "dataset")] if isinstance(data, Mapping) else []
    return artifact_name(f"data-{Path(str(next(filter(None, found), 'unknown'))).name}")


def artifact_name(name: str) -> str:
    """With nothing but the characters that wandb allows."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:128]
