"""Small runs, and what they leave."""

import json
from pathlib import Path
from typing import Any

from kdzoo.cli.flags import layer
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo


def small(method: str, zoo: Zoo | None = None, **settings: Any) -> Recipe:
    zoo = zoo or Zoo()
    flags = layer(teacher="test_resnet", student="test_efficientnet", epochs=1, batch_size=4)
    layers = [*flags, Layer("test", dotted({"observers": [], **settings}))]
    return resolve(zoo=zoo, registry=load_registry(zoo), method=method, layers=layers)


def reopened(folder: Path) -> Path:
    """As if the run had been killed between its last checkpoint and its end."""
    rows = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    assert b'"result"' in rows[-1]
    (folder / "metrics.jsonl").write_bytes(b"".join(rows[:-1]))
    return folder


def teachers(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "teachers").iterdir() if path.is_dir())


def student_hash(folder: Path) -> str:
    found: str = json.loads((folder / "provenance.json").read_text())["student_hash"]
    return found
