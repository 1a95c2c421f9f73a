"""The notebook-style examples, run from their first cell to their last."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kdzoo

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.slow


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with pictures of two classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for name, level in (("dark", 60), ("light", 200)):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(level - 50, level + 50, (40, 40, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path


def test_the_practitioners(here, capsys):
    names = runpy.run_path(str(EXAMPLES / "practitioner.py"))
    out = capsys.readouterr().out
    assert "taught: " in out
    assert any(f": {name} (" in out for name in ("dark", "light"))
    assert len(names["taught"].metrics) == 3
    assert kdzoo.load(here / "runs" / "taught").result == names["taught"].result


def test_the_researchers(here, capsys):
    names = runpy.run_path(str(EXAMPLES / "researcher.py"))
    rows = names["suite"].leaderboard
    assert sorted(row["entry"] for row in rows) == ["baseline", "kd"]
    assert all(row["seeds"] == 2 for row in rows)
    assert names["suite"].failures == {}
    assert names["suite"].report.exists()
    assert capsys.readouterr().out.count("jobs/") >= 4
