"""What a run says before its first step, and that it says it once."""

from pathlib import Path
from typing import Any

from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.zoo import Zoo

from .runs import small, teachers


def said(folder: Path) -> list[str]:
    """Notes and warnings before the first phase."""
    rows = read_journal(folder / "metrics.jsonl")
    before = rows[: [row["event"] for row in rows].index("phase")]
    return [row["message"] for row in before if row["event"] in ("note", "warning")]


def test_data_and_teacher_are_told_and_where_they_were_found(
    images: Path, tmp_path: Path, cache: Path
) -> None:
    (images / "train" / "cat" / "bad.png").write_bytes(b"no picture")
    recipe = small("kd", **{"data.data_dir": images, "data.bad_images": 0.5, "data.val_fraction": 0.25})
    first = train(recipe, tmp_path / "first", zoo=Zoo())
    second = train(recipe, tmp_path / "second", zoo=Zoo())
    (teacher,) = teachers(cache)
    data = (
        "data: 6 training, 2 validation and 4 test images of 2 classes (cat, dog), 32 px; 1 unreadable left out; "
        "1 step of 4 images an epoch"
    )
    assert data in said(tmp_path / "first")
    assert data in said(tmp_path / "second")
    found = f"decoded images found in {cache / 'datasets'}: train, test"
    assert found not in said(tmp_path / "first")
    assert found in said(tmp_path / "second")
    assert first["test/teacher"] == second["test/teacher"]
    told = f"teacher test_resnet: {first['test/teacher']:.2f} % on test, "
    assert f"{told}trained for this run, kept in {teacher}" in said(tmp_path / "first")
    assert f"{told}found in {teacher}" in said(tmp_path / "second")
    warned = [one for folder in (tmp_path / "first", teacher) for one in said(folder) if "bad.png" in one]
    assert len(warned) == 1


def test_data_without_validation_are_told_too(tmp_path: Path) -> None:
    few: dict[str, Any] = {"data.train_per_class": 2, "data.test_per_class": 1, "data.val_fraction": 0.0}
    train(small("baseline", **few), tmp_path / "run", zoo=Zoo())
    assert said(tmp_path / "run") == [
        "data: 20 training and 10 test images of 10 classes (0, 1, 2, 3, 4, 5, ...), 32 px; "
        "5 steps of 4 images an epoch"
    ]
