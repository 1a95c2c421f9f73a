"""Which rows of a journal, and which files, ``kdzoo wandb`` believes."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdzoo.api import EpochEnded, Event, PhaseStarted, Pictured, RunEnded, RunFailed, RunStarted, Warned
from kdzoo.errors import KdzooError
from kdzoo.observers.journal import Journal
from kdzoo.observers.wandb_again import rows_to_log
from kdzoo.places import CACHE

from .wandb_child import JOB, RECIPE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def write(folder: Path, *events: Event) -> None:
    folder.mkdir()
    journal = Journal(folder / "metrics.jsonl")
    for event in (RunStarted(folder, JOB, RECIPE), PhaseStarted("distill", 2, 10), *events):
        journal.observe(event)


def epoch(number: int) -> EpochEnded:
    return EpochEnded("distill", number, {"train/task": 1 / number, "val/accuracy": float("nan")})


def events(rows: list[dict[str, Any]]) -> list[Any]:
    return [row.get("epoch", row["event"]) for row in rows]


def test_a_finished_run_is_its_start_its_epochs_and_its_result(folder: Path):
    failed = RunFailed("NotFinite: the loss is not finite")
    resumed = RunStarted(folder, JOB, RECIPE, resumed=True)
    write(folder, epoch(1), failed, resumed, Warned("slow"), epoch(2), RunEnded(folder, {"test/last": 83.25}))
    rows = rows_to_log(folder)
    assert events(rows) == ["start", 1, 2, "result"]
    assert rows[0]["resumed"] is False, "the rows of before the resume are here as well"
    assert rows[1]["metrics"] == {"train/task": 1, "val/accuracy": None}
    assert rows[3]["result"] == {"test/last": 83.25}
    assert rows[3]["networks"] == {}, "there is no student in the folder"
    assert {row["folder"] for row in rows} == {str(folder)}


def test_a_run_without_an_end_is_logged_as_failed(folder: Path):
    write(folder, epoch(1), epoch(2))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"event": "epoch", "epo')
    assert events(rows_to_log(folder)) == ["start", 1, 2, "failed"]


def test_a_resumed_run_that_is_not_finished_has_no_result(folder: Path):
    write(folder, RunEnded(folder, {}), RunStarted(folder, JOB, RECIPE, resumed=True))
    assert events(rows_to_log(folder)) == ["start", "failed"]


def test_only_files_of_the_run_and_teachers_of_the_cache_are_logged(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    secret, teacher = tmp_path / "secret.png", tmp_path / "cache" / "teacher"
    secret.write_text("x")
    teacher.mkdir(parents=True)
    write(
        folder,
        Pictured("inside", folder / "inside.png", 1),
        Pictured("missing", folder / "missing.png", 2),
        Pictured("outside", secret, 3),
        Pictured("above", folder / ".." / "secret.png", 4),
        Pictured("linked", folder / "linked.png", 5),
        Pictured("impossible", folder / "\0", 6),
        RunEnded(folder, {"teacher_path": teacher}),
    )
    (folder / "inside.png").write_text("x")
    (folder / "linked.png").symlink_to(secret)
    (folder / "student").mkdir()
    assert events(rows_to_log(folder)) == ["start", 1, "result"]
    assert rows_to_log(folder)[-1]["networks"] == {
        "student": ("kd-big-small-0", str(folder / "student")),
        "teacher": ("teacher-big", str(teacher)),
    }

    (folder / "student" / "model.safetensors").symlink_to(secret)
    monkeypatch.setenv(CACHE, str(tmp_path / "elsewhere"))
    assert rows_to_log(folder)[-1]["networks"] == {}


START = {
    "event": "start",
    "job": {"name": "kd", "kind": "student", "suite": None, "tags": []},
    "recipe": {},
}


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([], "has no row 'start', so this is no run that could be logged"),
        ([{"event": "epoch", "epoch": 1, "metrics": {}}], "has no row 'start'"),
        ([{**START, "job": "kd"}], "a row 'start' is damaged (start.job: "),
        ([{**START, "job": {**START["job"], "tags": [7]}}], "(start.job.tags.0: "),
        ([{**START, "recipe": {"roles": []}}], "(start.recipe.roles: "),
        ([{**START, "recipe": {"roles": {"teacher": 7}}}], "(start.recipe.roles.teacher: "),
        ([START, {"event": "epoch", "epoch": "1", "metrics": {}}], "a row 'epoch' is damaged (epoch.epoch: "),
        ([START, {"event": "epoch", "epoch": 1, "metrics": {"a": "b"}}], "(epoch.metrics.a: "),
        ([START, {"event": "picture", "name": "a", "path": ["/"], "epoch": 1}], "(picture.path: "),
        ([START, {"event": "result"}], "(result.result: "),
    ],
)
def test_a_damaged_row_is_refused_in_one_line(folder: Path, rows: list[Any], line: str):
    folder.mkdir()
    lines = [json.dumps(row) + "\n" for row in [{"event": ["start"]}, {"other": 1}, *rows]]
    (folder / "metrics.jsonl").write_text("".join(lines))
    with pytest.raises(KdzooError) as error:
        rows_to_log(folder)
    assert f"{folder}/metrics.jsonl: " in str(error.value)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_rows_nested_too_deeply_are_damaged(folder: Path):
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("[" * 100_000 + "\n{}\n")
    with pytest.raises(KdzooError, match="line 1: not a JSON object"):
        rows_to_log(folder)
