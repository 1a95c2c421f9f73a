"""Runs of a suite that ask a frozen teacher the same: one asks and records, the others replay."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kdzoo.bench.crew import crew
from kdzoo.bench.leaderboard import leaderboard
from kdzoo.bench.plan import Plan
from kdzoo.bench.planner import Planner
from kdzoo.bench.progress import SuiteProgress
from kdzoo.bench.report import write_report
from kdzoo.bench.results import PairResults, read_results
from kdzoo.bench.run import SuiteSession
from kdzoo.bench.schedule import Schedule
from kdzoo.bench.table import leaderboard_lines, wandb_columns, wandb_rows
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.decides import DataFacts
from kdzoo.recipe.layers import Layer
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Suite
from kdzoo.zoo import Zoo

from .test_leaderboard import score

SUITE: dict[str, Any] = {
    "data": {"dataset": "digits", "train_per_class": 4, "test_per_class": 2, "batch_size": 8},
    "pairs": [{"teacher": "test_resnet", "student": "test_efficientnet"}],
    "methods": ["kd", "dkd", "dist"],
    "seeds": [0],
    "epochs": 2,
}


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo()


@pytest.fixture
def planner(zoo: Zoo, tmp_path: Path) -> Callable[..., Planner]:
    def make(layers: tuple[Layer, ...] = (), **changes: Any) -> Planner:
        suite = Suite.model_validate({**SUITE, **changes})
        registry = load_registry(zoo)
        return Planner("mini", suite, output=tmp_path / "suite", zoo=zoo, registry=registry, layers=layers)

    return make


def groups(plan: Plan) -> list[set[str]]:
    """The runs that share answers, and one set for those that share none."""
    found: dict[str, set[str]] = {}
    for run in plan.runs:
        found.setdefault(run.task.shares, set()).add(f"{run.entry.name} {run.seed}")
    return [found.pop("", set()), *found.values()]


def test_runs_with_the_same_teacher_data_seed_and_views_share(planner: Callable[..., Planner]) -> None:
    plan = planner(seeds=[0, 1], settings={"dist": {"data.batch_size": 4}}).plan()
    assert groups(plan) == [
        {"baseline 0", "baseline 1"},
        {"kd 0", "dkd 0"},
        {"dist 0"},
        {"kd 1", "dkd 1"},
        {"dist 1"},
    ]


def test_without_a_store_nobody_waits(planner: Callable[..., Planner]) -> None:
    assert len(groups(planner((Layer("--set", {"store_gb": 0}),)).plan())) == 1


@pytest.mark.parametrize("teaches", [False, True], ids=["files that may change", "a reinforced set"])
def test_where_nothing_is_recorded_nobody_waits(
    teaches: bool, planner: Callable[..., Planner], zoo: Zoo, tmp_path: Path
) -> None:
    content = "reinforced set" if teaches else "files of a large set"
    facts = DataFacts(content, 32, AugmentConfig(), teaches=teaches)
    plan = Planner(
        "mini", planner().suite, output=tmp_path, zoo=zoo, registry=load_registry(zoo), facts=lambda *_: facts
    ).plan()
    assert len(groups(plan)) == 1
    assert len(plan.teachers) == (0 if teaches else 1)


def taken(schedule: Schedule) -> list[str]:
    """The names of the tasks that can be started now."""
    found = []
    while (task := schedule.take()) is not None:
        found.append(task.job.name if task.teaches is None else "the teacher")
    return found


def test_the_first_records_and_the_others_wait(planner: Callable[..., Planner]) -> None:
    plan = planner().plan()
    schedule = Schedule(plan, lambda *_: (), lambda task: None)
    keys = {run.entry.name: run.task.key for run in plan.runs}
    (teacher,) = plan.teachers
    assert taken(schedule) == ["baseline seed 0", "the teacher"]
    schedule.settle(teacher, {}, None)
    assert taken(schedule) == ["kd seed 0"]
    schedule.settle(keys["baseline"], {}, None)
    assert taken(schedule) == []
    schedule.settle(keys["kd"], None, "it failed")
    assert taken(schedule) == ["dkd seed 0"], "it did not record, so another one does"
    schedule.settle(keys["dkd"], {}, None)
    assert taken(schedule) == ["dist seed 0"]


def test_what_reads_embeddings_records_for_what_reads_logits(planner: Callable[..., Planner]) -> None:
    plan = planner(methods=["kd", "fitnet", "srrl", "rkd"]).plan()
    keys = {run.entry.name: run.task.key for run in plan.runs}
    assert groups(plan) == [{"baseline 0"}, {"kd 0", "srrl 0", "rkd 0"}, {"fitnet 0"}]
    schedule = Schedule(plan, lambda *_: (), lambda task: None)
    assert taken(schedule) == ["baseline seed 0", "the teacher"]
    schedule.settle(next(iter(plan.teachers)), {}, None)
    assert taken(schedule) == ["srrl seed 0", "fitnet seed 0"], "maps are another group"
    schedule.settle(keys["srrl"], {}, None)
    assert taken(schedule) == ["kd seed 0", "rkd seed 0"]


@pytest.mark.slow
def test_with_several_workers_the_teacher_is_asked_once(
    planner: Callable[..., Planner], zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "cache"))
    quiet = Layer("test", {"observers": []})
    made = planner((quiet,), methods=["kd", "dkd", "srrl"])
    session = SuiteSession(made, load_registry(zoo).methods, crew(2, 2))
    session.run(SuiteProgress(Console(file=io.StringIO()), 2))
    assert not session.schedule.failures
    results = {run.entry.name: session.schedule.results[run.task.key] for run in session.schedule.runs}
    asked = {name: one.get("teacher/asked", 0) for name, one in results.items()}
    replayed = {name: one.get("teacher/replayed", 0) for name, one in results.items()}
    images = asked["kd"]
    assert images > 0
    assert asked == {"baseline": 0, "kd": images, "dkd": images, "srrl": images}
    assert sum(asked.values()) - sum(replayed.values()) == images, "as many passes as one run makes"
    assert results["srrl"]["teacher/recorded"] == images, "logits and embeddings at once"
    saved = {row.entry: row.saved for row in read_results(tmp_path / "suite").pairs[0].rows}
    assert {name for name, seconds in saved.items() if seconds} == {"kd", "dkd"}


def test_seconds_saved_are_a_column_where_there_are_any() -> None:
    scores = [score("kd", 0, 90.0, saved=2.0), score("kd", 1, 91.0, saved=3.0), score("base", 0, 80.0)]
    pair = PairResults("t>s", tuple(leaderboard(scores, "base")), 97.0, None)
    heads, rows = leaderboard_lines(pair)
    place = heads.index("teacher s\nsaved")
    assert [row[place] for row in rows] == ["2.5", "0.0"]
    assert (
        dict(zip(wandb_columns([pair]), wandb_rows([pair])[0], strict=True))["teacher seconds saved"] == 2.5
    )
    none = replace(pair, rows=tuple(replace(row, saved=0.0) for row in pair.rows))
    assert "teacher s\nsaved" not in leaderboard_lines(none)[0]


def test_the_report_says_what_a_run_costs_alone(write_suite: Callable[..., Path]) -> None:
    folder = write_suite({"baseline": [90.0, 91.0], "kd": [91.0, 92.0]})
    for journal in (folder / "jobs").glob("run-1-*/metrics.jsonl"):
        rows = list(read_journal(journal))
        rows[-1]["result"] |= {"teacher/asked": 40, "teacher/replayed": 40, "teacher/seconds_saved": 4.5}
        journal.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    page = write_report(folder).read_text()
    text = (folder / "report.md").read_text()
    assert "| kd | 2 | 91.50 ± 6.35 | +1.00 ± 0.00 | 91.75 ± 6.35 | 9.0 | 4.5 | 512 |" in text
    for written in (page, text):
        assert "seconds and teacher seconds saved together are what a run costs alone" in written
    assert "<td>4.5</td>" in page
