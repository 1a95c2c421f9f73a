"""``kdzoo distill --resume``: data that were moved, and flags that make another run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes, four images each for training, two for testing."""
    for split, count in (("train", 4), ("test", 2)):
        for number, name in enumerate(("cat", "dog")):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for index in range(count):
                image = Image.new("RGB", (32, 32), (40 * index, 100 * number, 60))
                image.save(tmp_path / "images" / split / name / f"{index}.png")
    return tmp_path / "images"


def reopened(folder: Path) -> Path:
    """As if the run had been killed between its last checkpoint and its end."""
    rows = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    assert b'"result"' in rows[-1]
    (folder / "metrics.jsonl").write_bytes(b"".join(rows[:-1]))
    return folder


def student_hash(folder: Path) -> str:
    found: str = json.loads((folder / "provenance.json").read_text())["student_hash"]
    return found


def test_a_run_goes_on_after_its_data_were_moved(
    kdzoo: Callable[..., Any], images: Path, tmp_path: Path
) -> None:
    run = ("distill", "--output", tmp_path / "run", "--data-dir")
    more = (
        "--method",
        "baseline",
        "--student",
        "test_vit",
        "--epochs",
        "1",
        "-b",
        "4",
        "--set",
        "observers=[]",
    )
    assert kdzoo(*run, images, *more).code == 0
    before = student_hash(reopened(tmp_path / "run"))
    images.rename(tmp_path / "elsewhere")
    assert str(images) in kdzoo("distill", "--output", tmp_path / "run", "--resume").err
    answer = kdzoo(*run, tmp_path / "elsewhere", "--resume")
    assert answer.code == 0, answer.err
    assert student_hash(tmp_path / "run") == before
    assert str(tmp_path / "elsewhere") in (tmp_path / "run" / "recipe.yaml").read_text()


def test_the_flag_that_differs_is_named(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    run = (
        "distill",
        "--method",
        "baseline",
        "--student",
        "test_vit",
        "--epochs",
        "1",
        "--train-per-class",
        "2",
    )
    more = ("--set", "observers=[]", "--output", tmp_path / "run")
    assert kdzoo(*run, *more).code == 0
    answer = kdzoo(*run, *more, "--resume", "--lr", "0.001", "--set", "optim.momentum=0.5")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "optim.lr was 0.002 and is 0.001 now, optim.momentum was 0.9 and is 0.5 now" in answer.err
    assert "resume without --lr and --set optim.momentum, or take another --output" in answer.err
