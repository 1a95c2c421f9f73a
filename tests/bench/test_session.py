"""A whole session with real workers, whose runs are pretended."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kdzoo.bench.crew import crew
from kdzoo.bench.ledger import read_ledger
from kdzoo.bench.planner import Planner
from kdzoo.bench.progress import Pace, SuiteProgress, duration
from kdzoo.bench.results import read_results
from kdzoo.bench.run import SuiteSession
from kdzoo.errors import KdzooError
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Suite
from kdzoo.zoo import Zoo

SUITE: dict[str, Any] = {
    "pairs": [{"teacher": "test_resnet", "student": "test_efficientnet"}],
    "methods": ["kd"],
    "seeds": [0, 1],
    "epochs": 2,
    "tune": {
        "kd": [{"knowledge.temperature": 2.0}, {"knowledge.temperature": 3.0}, {"knowledge.temperature": 9.0}]
    },
}


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo()


@pytest.fixture
def run(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[SuiteSession, str]]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from pretended import pretend

    def session(**changes: Any) -> tuple[SuiteSession, str]:
        suite = Suite.model_validate({**SUITE, **changes})
        registry = load_registry(zoo)
        planner = Planner("mini", suite, output=tmp_path, zoo=zoo, registry=registry)
        made = SuiteSession(planner, registry.methods, crew(2, 2), function=pretend)
        said = io.StringIO()
        made.run(SuiteProgress(Console(file=said, width=200), 2))
        return made, said.getvalue()

    return session


def trace(folder: Path) -> list[str]:
    """The tasks that workers began, in order; what was begun before is forgotten."""
    file = folder / "trace.txt"
    keys = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return keys


def test_tuned_by_validation_then_run_over_the_seeds(run: Callable[..., Any], tmp_path: Path) -> None:
    session, said = run()
    assert not session.schedule.failures
    ledger, (tuned,) = read_ledger(tmp_path)
    # the test split would have chosen 9, validation chooses 3
    assert (tuned.chosen, tuned.seed) == (1, 1000)
    assert [one.validation for one in tuned.candidates] == [99.0, 100.0, 94.0]
    means = {row.entry: row.last.mean for row in read_results(tmp_path).pairs[0].rows}
    assert means == {"kd": 94.5, "kd (tuned)": 93.5, "baseline": 90.5}
    assert {(one.entry, one.seed) for one in ledger.runs} == {
        (name, seed) for name in means for seed in (0, 1)
    }
    assert ledger.entries["kd (tuned)"].settings == (
        "knowledge kd (temperature 3, standardize False), scheme offline, "
        "algorithm distill (task_weight 0.1, teach_weight 0.9)"
    )
    begun = trace(tmp_path)
    assert len(begun) == len(set(begun)) == 1 + 3 + 3 * 2
    assert "[10/10]" in said
    assert "tuning kd knowledge.temperature=9.0  val 94.00 %" in said
    assert "kd (tuned) seed 1  test 94.00 %" in said


def test_what_is_finished_is_not_run_again(run: Callable[..., Any], tmp_path: Path) -> None:
    run()
    trace(tmp_path)
    _, said = run()
    assert trace(tmp_path) == []
    assert "9 runs are finished already" in said
    run(seeds=[0, 1, 2])
    begun = trace(tmp_path)
    assert len([key for key in begun if key.startswith("jobs/")]) == 3, "one more seed of three entries"
    assert not [key for key in begun if key.startswith("tuning/")]


def test_why_runs_are_done_again_is_said_in_a_line_for_each_reason(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    run(tune={})
    trace(tmp_path)
    _, said = run(tune={}, epochs=3)
    assert len([key for key in trace(tmp_path) if key.startswith("jobs/")]) == 4
    assert "4 runs are done again: epochs was 2 and is 3 now" in said
    _, said = run(tune={}, epochs=3, recipe={"optim": {"lr": 0.004}}, methods=[], seeds=[1])
    assert "baseline seed 1 is done again: optim.lr was 0.002 and is 0.004 now" in said
    _, said = run(tune={})
    assert "again" not in said


def test_a_finished_run_of_another_recipe_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    session, _ = run(tune={})
    identity = session.schedule.runs[0].task.folder / "identity.json"
    identity.write_text(identity.read_text().replace('"epochs": 2', '"epochs": 3'))
    with pytest.raises(
        KdzooError, match="not the run that the folder's name says: epochs was 3 and is 2 now"
    ):
        run(tune={})


def test_a_killed_run_is_recorded_and_the_rest_goes_on(run: Callable[..., Any], tmp_path: Path) -> None:
    session, said = run(methods=["dkd", "kd"], tune={})
    (failure,) = session.schedule.failures.values()
    assert failure.task.job.name == "dkd seed 1"
    assert "killed by SIGKILL" in (failure.task.folder / "error.txt").read_text()
    assert "dkd seed 1  failed: the worker process was killed by SIGKILL" in said
    results = read_results(tmp_path)
    assert [(one.name, one.folder) for one in results.ledger.failures] == [("dkd seed 1", failure.task.key)]
    assert {row.entry: row.seeds for row in results.pairs[0].rows} == {
        "baseline": (0, 1),
        "kd": (0, 1),
        "dkd": (0,),
    }
    assert results.unfinished == 1


def test_without_its_teacher_nothing_is_tried(run: Callable[..., Any], tmp_path: Path) -> None:
    pair = {"teacher": {"model": "test_resnet", "epochs": 13}, "student": "test_efficientnet"}
    session, _ = run(pairs=[pair])
    begun = trace(tmp_path)
    assert sorted(key.partition("/")[0] for key in begun) == ["jobs", "jobs", "teachers"]
    errors = {one.error for one in session.schedule.failures.values() if one.task.teaches is None}
    assert errors == {"teacher test_resnet could not be trained: RuntimeError: unlucky"}
    ledger, (tuned,) = read_ledger(tmp_path)
    assert tuned.chosen is None
    assert len(ledger.failures) == 1 + 3 + 2
    assert [row.entry for row in read_results(tmp_path).pairs[0].rows] == ["baseline"]


def test_the_time_left_follows_from_the_pace() -> None:
    pace = Pace(workers=2)
    assert pace.seconds_left(10) is None
    pace.add(epochs=5, seconds=20.0)
    pace.add(epochs=5, seconds=40.0)
    assert pace.seconds_left(10) == pytest.approx(30.0)
    assert [duration(seconds) for seconds in (0, 99, 100, 3599, 7300)] == [
        "0 s",
        "99 s",
        "2 min",
        "1 h 0 min",
        "2 h 2 min",
    ]
