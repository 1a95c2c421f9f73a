"""A frozen teacher's answers are replayed bit for bit, or the teacher is asked."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from kdzoo.engine.listeners import Listener
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.writing import dump
from kdzoo.zoo import Zoo

from .runs import small, student_hash

FEW = {"data.train_per_class": 2, "data.test_per_class": 2, "epochs": 2}


def result(folder: Path) -> dict[str, Any]:
    return next(row["result"] for row in read_journal(folder / "metrics.jsonl") if row["event"] == "result")


def warnings(folder: Path) -> list[str]:
    return [row["message"] for row in read_journal(folder / "metrics.jsonl") if row["event"] == "warning"]


def run(recipe: Recipe, folder: Path, **more: Any) -> dict[str, Any]:
    train(recipe, folder, zoo=Zoo(), **more)
    return {**result(folder), "hash": student_hash(folder)}


def stored(cache: Path) -> list[Path]:
    return sorted((cache / "answers").glob("*/*.safetensors"))


@pytest.mark.parametrize(
    "method",
    [
        "kd",
        "fitnet",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("dkd", "srrl", "crd", "rkd", "avg")),
    ],
)
def test_a_run_that_replays_ends_with_the_same_weights(method: str, tmp_path: Path, cache: Path) -> None:
    plain = run(small(method, **FEW, store_gb=0), tmp_path / "plain")
    assert not (cache / "answers").exists()
    assert "teacher/replayed" not in plain
    recorded = run(small(method, **FEW), tmp_path / "recorded")
    replayed = run(small(method, **FEW), tmp_path / "replayed")
    assert plain["hash"] == recorded["hash"] == replayed["hash"]
    assert recorded["teacher/replayed"] == 0
    assert replayed["teacher/replayed"] == replayed["teacher/asked"] == recorded["teacher/asked"]
    assert replayed["teacher/asked"] % (2 * 20) == 0  # epochs x images
    assert replayed["teacher/seconds_saved"] > 0


def test_methods_share_a_teachers_answers(tmp_path: Path, cache: Path) -> None:
    run(small("kd", **FEW), tmp_path / "kd")
    assert run(small("dkd", **FEW), tmp_path / "dkd")["teacher/replayed"] == 40
    longer = run(small("kd", **{**FEW, "epochs": 3}), tmp_path / "longer")
    assert (longer["teacher/asked"], longer["teacher/replayed"]) == (60, 0 if _retrained(cache) else 40)


def _retrained(cache: Path) -> bool:
    """A teacher without epochs of its own is trained as long as the student."""
    return len(list((cache / "teachers").glob("*/recipe.yaml"))) > 1


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"data.batch_size": 5}, {"data.augment.crop": 3}, {"data.augment.mixup": 0.5}],
    ids=str,
)
def test_other_views_are_not_replayed(change: dict[str, Any], tmp_path: Path) -> None:
    run(small("kd", **FEW), tmp_path / "first")
    assert run(small("kd", **FEW, **change), tmp_path / "second")["teacher/replayed"] == 0


def test_after_so_many_views_the_teacher_is_not_asked(tmp_path: Path) -> None:
    long = {**FEW, "epochs": 7, "roles.teacher.epochs": 1, "data.views": 2}
    plain = run(small("kd", **long, store_gb=0), tmp_path / "plain")
    once = run(small("kd", **long), tmp_path / "once")
    assert once["hash"] == plain["hash"]
    assert (once["teacher/asked"], once["teacher/replayed"]) == (7 * 20, 5 * 20)
    assert run(small("kd", **long), tmp_path / "again")["teacher/replayed"] == 7 * 20


def test_mixed_pictures_are_replayed(tmp_path: Path) -> None:
    mixed = {**FEW, "data.augment.mixup": 0.5}
    first, second = (run(small("kd", **mixed), tmp_path / name) for name in "ab")
    assert first["hash"] == second["hash"]
    assert second["teacher/replayed"] == 40


class Changes(Listener):
    """Changes the teacher, or the pictures, in the second epoch."""

    def __init__(self, what: str) -> None:
        self.what = what

    def step_began(self, run: Any, batch: Any, moment: Any) -> None:
        if moment.epoch == 2 and moment.step == 1:
            with torch.no_grad():
                changed = (
                    run.roles["teacher"].model.fc.weight if self.what == "teacher" else batch.inputs["image"]
                )
                changed.mul_(0.5)


@pytest.mark.parametrize(("what", "left"), [("teacher", 20), ("pictures", 36)])
def test_what_was_changed_is_asked_again(what: str, left: int, tmp_path: Path) -> None:
    plain = run(small("kd", **FEW, store_gb=0), tmp_path / "plain", listeners=[Changes(what)])
    run(small("kd", **FEW), tmp_path / "recorded")
    second = run(small("kd", **FEW), tmp_path / "second", listeners=[Changes(what)])
    assert second["hash"] == plain["hash"]
    assert second["teacher/replayed"] == left


@pytest.mark.parametrize(
    "at", [0.05, 0.99, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.1, 0.2, 0.5))]
)
def test_damaged_answers_are_recorded_anew(at: float, tmp_path: Path, cache: Path) -> None:
    first = run(small("kd", **FEW), tmp_path / "first")
    path = stored(cache)[1]
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(content)
    second = run(small("kd", **FEW), tmp_path / "second")
    assert second["hash"] == first["hash"]
    assert second["teacher/replayed"] == 20
    assert any("the teacher is asked again" in one for one in warnings(tmp_path / "second"))
    assert run(small("kd", **FEW), tmp_path / "third")["teacher/replayed"] == 40


@pytest.mark.parametrize("length", [0, 7, -3])
def test_answers_that_were_cut_are_recorded_anew(length: int, tmp_path: Path, cache: Path) -> None:
    first = run(small("kd", **FEW), tmp_path / "first")
    path = stored(cache)[0]
    path.write_bytes(path.read_bytes()[:length])
    assert run(small("kd", **FEW), tmp_path / "second")["hash"] == first["hash"]
    assert run(small("kd", **FEW), tmp_path / "third")["teacher/replayed"] == 40


def test_a_full_store_is_said_once_and_the_run_goes_on(tmp_path: Path, cache: Path) -> None:
    plain = run(small("kd", **FEW, store_gb=0), tmp_path / "plain")
    recorded = run(small("kd", **FEW, store_gb=1.2e-6), tmp_path / "recorded")  # one epoch: 20 x 10 floats
    assert recorded["hash"] == plain["hash"]
    assert len(stored(cache)) == 1
    said = [one for one in warnings(tmp_path / "recorded") if "not kept" in one]
    assert len(said) == 1
    assert "store_gb" in said[0]


def test_a_store_that_cannot_be_written_is_no_error(tmp_path: Path, cache: Path) -> None:
    cache.mkdir()
    (cache / "answers").write_text("a file where the folder should be")
    run(small("kd", **FEW), tmp_path / "run")
    assert sum("not kept" in one for one in warnings(tmp_path / "run")) == 1


class Killed(BaseException):
    pass


class Kills(Listener):
    def __init__(self, step: int) -> None:
        self.left = step

    def step_ended(self, *about: Any) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.mark.parametrize("step", [5, *(pytest.param(one, marks=pytest.mark.slow) for one in (2, 8))])
def test_a_run_that_was_killed_while_it_recorded(step: int, tmp_path: Path, cache: Path) -> None:
    settings = {**FEW, "checkpoint_seconds": 0}
    plain = run(small("kd", **settings, store_gb=0), tmp_path / "plain")
    with pytest.raises(Killed):
        run(small("kd", **settings), tmp_path / "killed", listeners=[Kills(step)])
    assert run(small("kd", **settings), tmp_path / "killed", resume=True)["hash"] == plain["hash"]
    again = run(small("kd", **settings), tmp_path / "again")
    assert again["hash"] == plain["hash"]
    assert run(small("kd", **settings), tmp_path / "third")["teacher/replayed"] == 40
    assert not list((cache / "answers").glob("*/*.part"))


@pytest.mark.slow
def test_two_record_at_once(tmp_path: Path, cache: Path) -> None:
    threads = torch.get_num_threads()
    run(small("kd", **FEW, store_gb=0), tmp_path / "teacher first")
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(dump(small("kd", **FEW))))
    two = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "kdzoo",
                "distill",
                "--recipe",
                tmp_path / "recipe.yaml",
                "--output",
                tmp_path / name,
            ],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.DEVNULL,
        )
        for name in "ab"
    ]
    assert [one.wait(300) for one in two] == [0, 0]
    assert student_hash(tmp_path / "a") == student_hash(tmp_path / "b")
    assert len(stored(cache)) == 2
    assert run(small("kd", **FEW), tmp_path / "third")["teacher/replayed"] == 40


def test_the_folder_says_what_decides_the_answers(tmp_path: Path, cache: Path) -> None:
    run(small("kd", **FEW), tmp_path / "run")
    facts = json.loads(next((cache / "answers").glob("*/about.json")).read_text())
    assert facts["teacher"] == "test_resnet"
    assert facts["seed"] == 0
    assert facts["data.batch_size"] == 4
    assert {"weights", "mean", "std", "input_size", "device", "torch", "timm", "data.content"} <= facts.keys()


def test_the_result_counts_what_was_recorded(tmp_path: Path) -> None:
    first = run(small("kd", **FEW), tmp_path / "first")
    assert (first["teacher/recorded"], first["teacher/replayed"]) == (40, 0)
    other = run(small("srrl", **FEW), tmp_path / "other")  # the logits are there, the embedding is not
    assert (other["teacher/recorded"], other["teacher/replayed"]) == (40, 0)
    again = run(small("srrl", **FEW), tmp_path / "again")
    assert (again["teacher/recorded"], again["teacher/replayed"]) == (0, 40)
    nothing = run(small("kd", **FEW, seed=1, store_gb=1e-9), tmp_path / "nothing")
    assert (nothing["teacher/recorded"], nothing["teacher/replayed"]) == (0, 0)


def by_image(cache: Path, batch: int) -> dict[tuple[int, int], torch.Tensor]:
    """(epoch, index) -> the stored logits of runs with that batch size."""
    found = {}
    for about in (cache / "answers").glob("*/about.json"):
        if json.loads(about.read_text())["data.batch_size"] != batch:
            continue
        for path in about.parent.glob("*-logits-plain.safetensors"):
            stored = load_file(path)
            rows = zip(stored["index"].tolist(), stored["answers"], strict=True)
            found |= {(int(path.name[:5]), index): row for index, row in rows}
    return found


def test_another_batch_size_is_recorded_anew_and_differs_by_rounding_alone(
    tmp_path: Path, cache: Path
) -> None:
    run(small("kd", **FEW), tmp_path / "four")
    other = run(
        small("kd", **FEW, **{"data.batch_size": 10, "roles.teacher.checkpoint": teacher(cache)}),
        tmp_path / "ten",
    )
    assert other["teacher/replayed"] == 0
    four, ten = by_image(cache, 4), by_image(cache, 10)
    assert four.keys() == ten.keys()
    assert len(four) == 2 * 20
    for place, logits in four.items():
        torch.testing.assert_close(ten[place], logits, rtol=1e-4, atol=1e-5)


def teacher(cache: Path) -> Path:
    return next((cache / "teachers").glob("*/student"))


class Deletes(Listener):
    """Removes the whole store in the middle of the first epoch."""

    def __init__(self, cache: Path) -> None:
        self.folder = cache / "answers"

    def step_ended(self, run: Any, batch: Any, figures: Any, moment: Any) -> None:
        if (moment.epoch, moment.step) == (1, 3):
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.parametrize("before", [False, True], ids=["while recording", "while replaying"])
def test_a_store_that_is_deleted_is_no_error(before: bool, tmp_path: Path, cache: Path) -> None:
    plain = run(small("kd", **FEW, store_gb=0), tmp_path / "plain")
    if before:
        run(small("kd", **FEW), tmp_path / "recorded")
    deleted = run(small("kd", **FEW), tmp_path / "deleted", listeners=[Deletes(cache)])
    assert deleted["hash"] == plain["hash"]
    assert deleted["teacher/replayed"] == (20 if before else 0)
    assert run(small("kd", **FEW), tmp_path / "after")["hash"] == plain["hash"]
    assert run(small("kd", **FEW), tmp_path / "again")["teacher/replayed"] == 40
