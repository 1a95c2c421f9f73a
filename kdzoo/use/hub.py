"""A student as a folder that ``huggingface_hub`` uploads: timm's layout, and a card with its figures."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kdzoo.errors import KdzooError
from kdzoo.jobs.folder import finished
from kdzoo.use.model import Model
from kdzoo.yaml_text import read_yaml

REPOSITORY = "USER/NAME"
"""Stands in the card for the repository, which nobody has named yet."""

_METRICS: Mapping[str, tuple[str, str]] = {
    "test/last": ("accuracy", "accuracy"),
    "test/macro_f1": ("f1", "macro F1"),
    "test/top5": ("top_5_accuracy", "top-5 accuracy"),
    "test/ece": ("expected_calibration_error", "expected calibration error"),
}
"""Key of a run's result -> the hub's name of the metric, and ours; as parts of one."""


def write_hub_folder(model: Model, folder: Path) -> Path:
    """Write the student's files and a card for the hub; all of them or none. Nothing is uploaded.

    Args:
        model: an exported student.
        folder: where to; it must not be there, or be empty.

    Returns:
        The folder.

    Raises:
        KdzooError: it is no student's folder, or ``folder`` is in use or cannot be written.
    """
    if model.folder is None:
        raise KdzooError(f"{model.name}: --to hf takes the folder of a run or of an exported student")
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise KdzooError(f"{folder} is there already; remove it, or pass another --output")
    new = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    try:
        new.mkdir(parents=True)
        for path in sorted(model.folder.iterdir()):
            if path.is_file() and path.name != "README.md":
                shutil.copyfile(path, new / path.name)
        (new / "README.md").write_text(_card(model), encoding="utf-8")
        if folder.is_dir():
            folder.rmdir()
        new.rename(folder)
    except OSError as error:
        raise KdzooError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def _card(model: Model) -> str:
    """The student's own card below a header that the hub reads."""
    assert model.folder is not None
    try:
        written = (model.folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        written = f"# {model.description.architecture}\n"
    body = written.partition("\n---\n")[2] if written.startswith("---\n") else written
    timm = (model.folder / "model.safetensors").is_file()
    body = body.replace(f"local-dir:{model.folder.name}", f"hf-hub:{REPOSITORY}") if timm else body
    task = "image-classification" if model.description.output == "logits" else "image-feature-extraction"
    header: dict[str, Any] = {
        "library_name": "timm" if timm else "pytorch",
        "pipeline_tag": task,
        "tags": [task, *(["timm"] if timm else []), "kdzoo", "knowledge-distillation"],
    }
    index = _index(model)
    if index:
        header["model-index"] = index
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n{body.lstrip()}"


def _index(model: Model) -> list[dict[str, Any]]:
    """The hub's ``model-index``: the figures of a run on its test split; empty without a run."""
    result = finished(model.run) if model.run is not None else None
    if model.run is None or result is None:
        return []
    metrics = [
        {"type": kind, "name": name, "value": round(float(result[key]) / 100, 6)}
        for key, (kind, name) in _METRICS.items()
        if isinstance(result.get(key), int | float)
    ]
    if not metrics:
        return []
    data = read_yaml(model.run / "recipe.yaml").get("data")
    told = data if isinstance(data, dict) else {}
    place = told.get("data_dir")
    name = Path(str(place)).name if place else str(told.get("dataset", "images"))
    split = {"name": name, "type": "imagefolder" if place else name, "split": "test"}
    task = {"type": "image-classification"}
    return [
        {
            "name": f"{model.description.architecture}-{name}",
            "results": [{"task": task, "dataset": split, "metrics": metrics}],
        }
    ]
