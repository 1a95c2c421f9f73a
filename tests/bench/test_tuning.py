"""The same number of trials for every method, chosen by validation accuracy; the runs are pretended."""

import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kdzoo.bench.crew import crew
from kdzoo.bench.ledger import TunedEntry, read_ledger
from kdzoo.bench.planner import Planner
from kdzoo.bench.progress import SuiteProgress
from kdzoo.bench.report import write_report
from kdzoo.bench.results import read_results
from kdzoo.bench.run import SuiteSession
from kdzoo.bench.suite import _suite
from kdzoo.bench.tuning_space import space_of
from kdzoo.bench.tuning_trials import proposed
from kdzoo.bench.verify import _tuning
from kdzoo.engine.listeners import Listener
from kdzoo.errors import KdzooError
from kdzoo.jobs.train import train
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.decides import DataFacts
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Suite
from kdzoo.registry.tuning import Budget
from kdzoo.zoo import Zoo

PAIR = {"teacher": "test_resnet", "student": "test_efficientnet"}
SUITE: dict[str, Any] = {
    "pairs": [PAIR],
    "methods": ["kd", "at"],
    "seeds": [0, 1],
    "epochs": 2,
    "tune": {
        "trials": 10,
        "space": {"kd": {"knowledge.temperature": {"low": 1, "high": 8, "log": True}}},
    },
}
FACTS = DataFacts("pixels of a made-up set", 32, AugmentConfig())


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo()


@pytest.fixture
def plan(zoo: Zoo, tmp_path: Path) -> Callable[..., Planner]:
    def make(facts: DataFacts = FACTS, **changes: Any) -> Planner:
        suite = Suite.model_validate({**SUITE, **changes})
        registry = load_registry(zoo)
        return Planner(
            "mini", suite, output=tmp_path, zoo=zoo, registry=registry, facts=lambda config, student: facts
        )

    return make


@pytest.fixture
def tuned(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, TunedEntry]]:
    """tuned(folder, workers) -> the tuned entries of a session."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from pretended import pretend

    def session(folder: Path, workers: int = 2) -> dict[str, TunedEntry]:
        registry = load_registry(zoo)
        planner = Planner("mini", Suite.model_validate(SUITE), output=folder, zoo=zoo, registry=registry)
        made = SuiteSession(planner, registry.methods, crew(workers, 2), function=pretend)
        made.run(SuiteProgress(Console(file=io.StringIO()), workers))
        assert not made.schedule.failures
        return {one.entry: one for one in read_ledger(folder)[1]}

    return session


def begun(folder: Path, kind: str = "tuning") -> list[str]:
    """The folders of the candidates, or of other runs, that workers began in the last session."""
    return [key for key in (folder / "trace.txt").read_text().split() if key.startswith(f"{kind}/")]


def test_equal_budgets_a_planted_optimum_and_the_same_trials_after_an_interruption(
    tuned: Callable[..., dict[str, TunedEntry]], tmp_path: Path
) -> None:
    whole = tuned(tmp_path / "whole")
    assert {name: (len(one.candidates), one.trials) for name, one in whole.items()} == {
        "baseline (tuned)": (10, 10),
        "kd (tuned)": (10, 10),
        "at (tuned)": (10, 10),
    }
    kd = whole["kd (tuned)"]
    own = {"optim.lr": 0.002, "knowledge.temperature": 4.0, "algorithm.teach_weight": 0.9}
    assert kd.candidates[0].settings == own
    assert kd.candidates[0].validation == 99.0
    assert kd.chosen is not None
    best = kd.candidates[kd.chosen]
    assert best.validation is not None
    assert best.validation > 99.5, "the optimum is a temperature of 3"
    assert abs(best.settings["knowledge.temperature"] - 3) < 0.5
    assert len(begun(tmp_path / "whole")) == 30
    assert len(begun(tmp_path / "whole", "teachers")) == 1, "whatever the student's learning rate"
    (tmp_path / "whole" / "trace.txt").unlink()

    # killed: of kd, one candidate of the second batch and all later ones are missing
    for one in kd.candidates[5:6] + kd.candidates[8:]:
        shutil.rmtree(tmp_path / "whole" / one.folder)
    assert tuned(tmp_path / "whole") == whole
    missing = {one.folder for one in kd.candidates[5:6] + kd.candidates[8:]}
    again = begun(tmp_path / "whole")
    assert len(again) == 3
    assert set(again) == missing

    # with one worker the trials are those of two
    assert tuned(tmp_path / "alone", workers=1) == whole

    results = read_results(tmp_path / "whole")
    assert not list(_tuning(results))
    worst = kd.model_copy(update={"chosen": 0, "candidates": kd.candidates[:9]})
    assert list(_tuning(replace(results, tuning=(worst,)))) == [
        "kd (tuned), test_resnet>test_efficientnet: 9 trials of the 10 that every entry has",
        "kd (tuned), test_resnet>test_efficientnet: its settings are not those of the best validation accuracy",
    ]
    write_report(tmp_path / "whole")
    text = (tmp_path / "whole" / "report.md").read_text()
    assert "Every entry had the same budget of 10 trials" in text
    (row,) = (line for line in text.splitlines() if line.startswith("| kd | test") and "± 9" not in line)
    temperature = best.settings["knowledge.temperature"]
    assert row.count("94.50") == 1  # 90 + the temperature, and half a point for two seeds
    assert f"{90.5 + temperature:.2f}" in row
    assert f"{temperature - 4:+.2f}".replace("-", "−") in row
    page = (tmp_path / "whole" / "report.html").read_text()
    assert "Every entry had the same budget of 10 trials" in page
    assert f"{90.5 + temperature:.2f}" in page


def test_what_is_proposed_depends_on_the_values_and_the_seed_alone(plan: Callable[..., Planner]) -> None:
    planner = plan()
    recipe = planner.plan().searches[1].candidates[0].task.recipe
    space = space_of(recipe, Zoo(), {})
    budget = Budget(trials=10, at_once=4)
    first = proposed(space, budget, [], 1)
    assert first == proposed(space, budget, [], 1)
    assert first[1:] != proposed(space, budget, [], 2)[1:]
    values = [1.0, 2.0, None, 3.0]
    second = proposed(space, budget, values, 1)
    assert second == proposed(space, budget, values, 1)
    one, other = ([1.0, 2.0, 4.0, 3.0], [4.0, 2.0, 1.0, 3.0])
    assert proposed(space, budget, one, 1) != proposed(space, budget, other, 1)
    assert [len(one) for one in (first, second)] == [4, 4]
    assert len(proposed(space, budget, values * 2, 1)) == 2, "the last batch is the rest"
    assert proposed(space, budget, [*values * 2, 1.0, 1.0], 1) == []


def test_ranges_come_from_types_and_annotations(plan: Callable[..., Planner]) -> None:
    def dimensions(method: str, **tune: Any) -> dict[str, tuple[float, float, float, bool, bool]]:
        search = next(
            one
            for one in plan(methods=["baseline", method], tune={"trials": 2, **tune}).plan().searches
            if one.entry.method == method
        )
        recipe: Recipe = search.candidates[0].task.recipe
        ranges = Budget.model_validate({"trials": 2, **tune}).space_of(method)
        return {
            one.key: (one.own, one.low, one.high, one.log, one.whole)
            for one in space_of(recipe, Zoo(), ranges)
        }

    rate = (0.002, 0.0002, 0.02, True, False)
    assert dimensions("baseline") == {"optim.lr": rate}, "the weight of no knowledge is nothing to tune"
    kd = dimensions("kd")
    assert kd == {
        "optim.lr": rate,
        "knowledge.temperature": (4.0, 1.0, 20.0, True, False),
        "algorithm.teach_weight": (0.9, 0.09, 9.0, True, False),
    }
    nst = dimensions("nst")
    assert nst["knowledge.degree"] == (2, 1, 8, False, True)
    assert dimensions("dkd")["knowledge.warmup"] == (20 / 240, 0.0, 1.0, False, False)
    assert dimensions("fitnet-two-phase")["algorithm.fraction"] == pytest.approx((0.5, 0.01, 0.99, 0, 0))
    assert "algorithm.epsilon" not in dimensions("rslad"), "the attack is not the method's to choose"
    assert {"knowledge.at.weight", "knowledge.kd.temperature"} <= dimensions("at-kd").keys()
    own: dict[str, Any] = {
        "space": {"*": {"optim.lr": None}, "kd": {"knowledge.temperature": {"low": 5, "high": 6}}},
    }
    assert dimensions("kd", **own) == {
        "knowledge.temperature": (4.0, 4.0, 6.0, False, False),  # and the method's own value
        "algorithm.teach_weight": kd["algorithm.teach_weight"],
    }


def test_validation_images_can_be_held_back_in_trials_alone(plan: Callable[..., Planner]) -> None:
    data = {"val_fraction": 0.0}
    made = plan(data=data, tune={"trials": 2, "val_fraction": 0.2}).plan()
    assert {run.task.recipe.data.val_fraction for run in made.runs} == {0.0}
    assert {task.recipe.data.val_fraction for task in made.tasks if not task.tests} == {0.2}
    assert not [run for run in made.runs if not run.task.tests]
    without = DataFacts("pixels", 32, AugmentConfig(), validates=False)
    with pytest.raises(KdzooError, match=r"tuning needs validation images, and there are none.*val_fraction"):
        plan(facts=without, data=data).plan()


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"trials": 0}, "tune.trials: Input should be greater than or equal to 1"),
        ({"trials": 3, "kd": []}, "tune.kd: Extra inputs"),
        ({"trials": 3, "space": {"kd": {"optim.lr": {"low": 2, "high": 1}}}}, "low must be less than high"),
        (
            {"trials": 3, "space": {"kd": {"optim.lr": {"low": 0, "high": 1, "log": True}}}},
            "log needs a low above 0",
        ),
    ],
)
def test_a_budget_that_is_none_is_refused(tune: dict[str, Any], message: str) -> None:
    with pytest.raises(KdzooError, match=message):
        _suite({**SUITE, "tune": tune}, "mine.yaml")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"kdd": {"optim.lr": None}}, "unknown method in tune of suite mini 'kdd'; did you mean"),
        ({"kd": {"knowledge.temperatur": {"low": 1, "high": 2}}}, "temperatur is no number in the recipe"),
        ({"kd": {"knowledge.temperature": {"low": -1, "high": 2}}}, "knowledge.temperature.*greater than 0"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_before_anything_runs(
    plan: Callable[..., Planner], space: dict[str, Any], message: str
) -> None:
    with pytest.raises(KdzooError, match=message):
        plan(tune={"trials": 3, "space": space}).plan()


def test_without_optuna_one_line_says_what_to_install(
    plan: Callable[..., Planner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(KdzooError, match=r"needs Optuna: pip install 'kdzoo\[tune\]'"):
        plan(methods="installed").plan()


class Splits(Listener):
    """What a run could have read."""

    def run_ended(self, run: Any) -> None:
        self.test, self.val = run.data.test, run.data.val


def test_a_candidate_never_reads_the_test_split(
    zoo: Zoo, tmp_path: Path, plan: Callable[..., Planner]
) -> None:
    data = {"dataset": "digits", "train_per_class": 8, "test_per_class": 5, "batch_size": 16}
    search = plan(data=data, epochs=1, tune={"trials": 1}).plan().searches[0]
    recipe = search.candidates[0].task.recipe.model_copy(update={"observers": ()})
    seen = Splits()
    result = train(recipe, tmp_path / "tried", zoo=zoo, listeners=[seen], tests=False)
    assert seen.test is seen.val
    assert {name for name in result if name.startswith("test/")} == {"test/last"}
    assert result["test/last"] is None
    usual = train(recipe, tmp_path / "usual", zoo=zoo)
    assert result["val/last"] == usual["val/last"]
    assert usual["test/last"] is not None
    assert train(recipe, tmp_path / "tried", zoo=zoo, tests=False, resume=True) == result
