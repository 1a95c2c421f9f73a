"""A teacher that hardly knows the task is a warning before its student is trained."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.zoo import Zoo
from tests.jobs.runs import small, teachers

FEW = {"data.train_per_class": 20, "data.test_per_class": 4, "epochs": 1, "roles.teacher.epochs": 8}


def doubts(folder: Path) -> list[str]:
    rows = read_journal(folder / "metrics.jsonl")
    before = rows[: [row["event"] for row in rows].index("phase")]
    return [row["message"] for row in before if "chance" in row.get("message", "")]


def test_classes_in_another_order_are_suspected_before_the_first_phase(cache: Path, tmp_path: Path) -> None:
    good = small("kd", **FEW)
    train(good, tmp_path / "good", zoo=Zoo())
    assert not doubts(tmp_path / "good")
    (teacher,) = teachers(cache)
    weights = load_file(teacher / "student" / "model.safetensors")
    head = [name for name in weights if weights[name].shape[:1] == (10,)]
    assert head
    save_file(
        {**weights, **{name: weights[name].roll(1, 0) for name in head}}, tmp_path / "rolled.safetensors"
    )
    test = json.loads((teacher / "metrics.jsonl").read_text().splitlines()[-1])["result"]["test/last"]
    assert test > 50, "the teacher knows the task"
    train(
        small("kd", **FEW, **{"roles.teacher.checkpoint": tmp_path / "rolled.safetensors"}),
        tmp_path / "run",
        zoo=Zoo(),
    )
    (line,) = doubts(tmp_path / "run")
    assert "teacher is right for" in line
    assert "where chance is 10.0 %" in line


def test_nothing_is_drawn_by_the_look(tmp_path: Path) -> None:
    """The student's run is that of before: the look takes no random number and changes no mode."""
    torch.manual_seed(0)
    one = train(small("kd", **FEW), tmp_path / "one", zoo=Zoo())
    torch.manual_seed(1)
    two = train(small("kd", **FEW), tmp_path / "two", zoo=Zoo())
    assert one["files"] == two["files"]
