"""Whatever a run exports loads in a fresh interpreter, with what the student's card says and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from kdzoo.jobs.train import train
from kdzoo.registry.load import load_registry
from kdzoo.testing import Subject
from kdzoo.zoo import Zoo

ZOO = Zoo()
REGISTRY = load_registry(ZOO)

KINDS = {
    "baseline": ("model.safetensors",),
    "byot": ("model.safetensors", "exits.safetensors"),
    "ema": ("model.safetensors", "average.safetensors"),
    "diswot": ("model.safetensors", "architecture.json"),
    "icarl": ("model.safetensors",),
    "simkd": ("model.pt2",),
    "podnet": ("model.pt2",),
    "der": ("model.pt2",),
    "lsq-kd": ("model.pt2",),
    "ptq-distill": ("model.pt2",),
    "int8": ("model.safetensors", "int8.pt2"),
}
"""Methods, and files that they leave in ``student/``: one of each kind."""

ONLY = "import sys; sys.modules.update(dict.fromkeys({names!r}))\n"
"""What makes these packages impossible to import."""


def packages_not_named(block: str) -> list[str]:
    """What a reader of this block need not have; a package brings what it depends on."""
    if "kdzoo" in block:
        return []
    brought = () if "timm" in block else ("timm", "torchvision")
    return ["kdzoo", "torchao", *brought, *(plugin.module for plugin in ZOO.known)]


@pytest.mark.slow
@pytest.mark.parametrize("method", KINDS)
def test_the_card_says_how_each_file_is_loaded(method, tmp_path):
    algorithm = ZOO.find("algorithm", REGISTRY.methods[method].algorithm.name)
    train(Subject(algorithm, ZOO, REGISTRY, method).recipe(), tmp_path, zoo=ZOO)
    assert {path.name for path in (tmp_path / "student").iterdir()} >= set(KINDS[method])
    Image.new("RGB", (40, 40), (90, 20, 160)).save(tmp_path / "image.png")
    card = (tmp_path / "student" / "README.md").read_text()
    assert all(name in card for name in KINDS[method] if name != "model.safetensors")
    for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        script = ONLY.format(names=packages_not_named(block)) + block
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", script], cwd=tmp_path, env=os.environ,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stderr[-2000:]}"
