"""From a suite to its tasks: which, in which folders, with which recipes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdzoo.bench.plan import Plan
from kdzoo.bench.planner import Planner
from kdzoo.bench.suite import narrowed, open_suite
from kdzoo.bench.suite_methods import methods_of
from kdzoo.errors import KdzooError
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.decides import DataFacts
from kdzoo.recipe.layers import Layer
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Suite
from kdzoo.zoo import Zoo

FACTS = DataFacts("pixels of a made-up set", 32, AugmentConfig())
PAIR = {"teacher": {"model": "test_resnet", "epochs": 7}, "student": "test_efficientnet"}
SUITE: dict[str, Any] = {
    "data": {"dataset": "digits", "train_per_class": 20},
    "pairs": [PAIR],
    "methods": ["kd", "dml"],
    "seeds": [0, 1],
    "epochs": 3,
    "recipe": {"optim": {"lr": 0.004}},
}


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo()


@pytest.fixture
def planner(zoo: Zoo, tmp_path: Path) -> Callable[..., Planner]:
    def make(*layers: Layer, **changes: Any) -> Planner:
        suite = Suite.model_validate({**SUITE, **changes})
        return Planner("mini", suite, output=tmp_path, zoo=zoo, registry=load_registry(zoo), layers=layers)

    return make


def folders(plan: Plan) -> dict[tuple[str, int], str]:
    return {(run.entry.name, run.seed): run.task.key for run in plan.runs}


def test_every_method_and_seed_with_the_baseline_first(planner: Callable[..., Planner]) -> None:
    plan = planner().plan()
    names = ["baseline", "kd", "dml"]
    assert [(run.entry.name, run.seed) for run in plan.runs] == [(n, s) for s in (0, 1) for n in names]
    assert len({run.task.key for run in plan.runs}) == 6
    for run in plan.runs:
        recipe = run.task.recipe
        assert (recipe.method, recipe.seed, recipe.epochs, recipe.optim.lr) == (
            run.entry.method,
            run.seed,
            3,
            0.004,
        )
        assert recipe.data.train_per_class == 20
        assert [one.name for one in recipe.observers] == ["wandb"]
        assert run.task.job.kind == ("baseline" if run.entry.name == "baseline" else "student")
        assert run.task.job.suite == "mini"
        assert run.task.job.tags == (run.entry.method, "digits", "test_resnet>test_efficientnet")


def test_one_teacher_for_all_that_need_one(planner: Callable[..., Planner]) -> None:
    plan = planner(methods=["kd", "rkd", "dml", "label-smoothing"]).plan()
    (key,) = plan.teachers
    assert plan.teachers[key].job.kind == "teacher"
    assert (plan.teachers[key].teaches, plan.teachers[key].epochs) == ("teacher", 7)
    needed = {run.entry.name: bool(run.task.after) for run in plan.runs}
    assert needed == {"baseline": False, "label-smoothing": False, "dml": False, "kd": True, "rkd": True}


def test_a_teacher_with_weights_is_not_trained(planner: Callable[..., Planner], tmp_path: Path) -> None:
    pair = {
        "teacher": {"model": "test_resnet", "checkpoint": tmp_path / "w.pth"},
        "student": "test_efficientnet",
    }
    assert planner(pairs=[pair]).plan().teachers == {}


def test_installed_methods_are_those_whose_package_is(zoo: Zoo, tmp_path: Path) -> None:
    suite = Suite.model_validate({"pairs": [PAIR], "seeds": [0]})
    registry = load_registry(zoo)
    only_core = Zoo([plugin for plugin in zoo.known if plugin.distribution == "kdzoo"])
    assert methods_of("mini", suite, registry, only_core) == ["baseline", "label-smoothing"]
    named = Planner(
        "mini",
        suite.model_copy(update={"methods": ("kd",)}),
        output=tmp_path,
        zoo=only_core,
        registry=registry,
    )
    with pytest.raises(KdzooError, match="method kd is not installed: pip install kdzoo-response"):
        named.plan()


def test_one_installed_method_that_cannot_be_planned_is_recorded(planner: Callable[..., Planner]) -> None:
    # the baseline has no knowledge whose temperature could be set; kd has
    plan = planner(Layer("--set", {"algorithm": {"task_weight": 0.5}}), methods="installed").plan()
    refused = {entry.name: reason for entry, reason in plan.refused.items()}
    assert "expert-labels" in refused, "the labels are the user's"
    assert not {"baseline", "kd", "rkd", "dml"} & refused.keys()
    plan = planner(Layer("--set", {"knowledge": {"temperature": 2.0}}), methods="installed").plan()
    assert {entry.name for entry in plan.refused} >= {"baseline", "rkd"}
    assert "kd" in {run.entry.name for run in plan.runs}
    with pytest.raises(KdzooError, match="--set"):
        planner(Layer("--set", {"knowledge": {"temperature": 2.0}})).plan()
    with pytest.raises(KdzooError, match=r"--set: .*optim\.lrr"):
        planner(Layer("--set", {"optim": {"lrr": 1}}), methods="installed").plan()


def test_a_changed_suite_never_meets_old_results(planner: Callable[..., Planner]) -> None:
    before, after = folders(planner().plan()), folders(planner(epochs=4).plan())
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert folders(planner().plan()) == before


def test_a_newer_plugin_and_other_data_never_meet_old_results(zoo: Zoo, tmp_path: Path) -> None:
    suite, registry = Suite.model_validate(SUITE), load_registry(zoo)

    def planned(zoo: Zoo = zoo, facts: DataFacts = FACTS) -> Plan:
        return Planner(
            "mini", suite, output=tmp_path, zoo=zoo, registry=registry, facts=lambda config, student: facts
        ).plan()

    def released(version: str) -> Zoo:
        return Zoo(
            [
                replace(one, version=version) if one.distribution == "kdzoo-response" else one
                for one in zoo.known
            ]
        )

    plan = planned()
    newer, patched = planned(released("99.0.0")), planned(released("99.0.1"))
    assert folders(newer) == folders(patched)
    changed = {entry for entry, key in folders(plan).items() if folders(newer)[entry] != key}
    assert {name for name, _ in changed} == {"kd", "dml"}, "both take the loss from that package"
    assert newer.teachers.keys() == plan.teachers.keys(), "a teacher takes nothing from it"
    other = planned(facts=DataFacts("pixels of another set", 32, AugmentConfig()))
    assert not set(folders(other).values()) & set(folders(plan).values())
    assert not other.teachers.keys() & plan.teachers.keys()


def test_flags_win_over_the_suite_but_not_over_the_plan(planner: Callable[..., Planner]) -> None:
    layers = (Layer("--epochs", {"epochs": 9}), Layer("--set", {"roles": {"student": "test_vit"}}))
    plan = planner(*layers).plan()
    assert {run.task.epochs for run in plan.runs} == {9}
    assert {run.entry.pair for run in plan.runs} == {"test_resnet>test_vit"}
    with pytest.raises(KdzooError, match="--set: seed: a suite decides it"):
        planner(Layer("--set", {"seed": 3}))


def test_pairs_of_the_same_models_have_names_of_their_own(planner: Callable[..., Planner]) -> None:
    small = {"teacher": PAIR["teacher"], "student": {"model": "test_efficientnet", "drop_path": 0.1}}
    plan = planner(pairs=[PAIR, small]).plan()
    pairs = ["test_resnet>test_efficientnet", "test_resnet>test_efficientnet (2)"]
    assert list(dict.fromkeys(run.entry.pair for run in plan.runs)) == pairs
    assert len({run.task.job.name for run in plan.runs}) == len(plan.runs) == 12


def test_candidates_are_tried_on_a_seed_that_is_not_reported(planner: Callable[..., Planner]) -> None:
    tune = {
        "kd": [{"knowledge.temperature": 2.0}, {"knowledge.temperature": 4.0, "algorithm.task_weight": 0.5}]
    }
    made = planner(tune=tune)
    (search,) = made.plan().searches
    assert search.entry.name == "kd (tuned)"
    recipes = [candidate.task.recipe for candidate in search.candidates]
    assert [recipe.seed for recipe in recipes] == [1000, 1000]
    assert [recipe.knowledge and recipe.knowledge[0].settings["temperature"] for recipe in recipes] == [
        2.0,
        4.0,
    ]
    assert recipes[1].algorithm.settings["task_weight"] == 0.5
    runs = made.runs(search.entry, search.candidates[0].settings)
    assert [run.seed for run in runs] == [0, 1]
    assert not {run.task.key for run in runs} & {candidate.task.key for candidate in search.candidates}
    with pytest.raises(KdzooError, match="tune_seed must not be among seeds"):
        narrowed(made.suite, seeds=(0, 1000), methods=None)


def test_a_winner_with_the_default_settings_shares_the_runs(planner: Callable[..., Planner]) -> None:
    made = planner(tune={"kd": [{"knowledge.temperature": 4.0}]})
    plan = made.plan()
    shared = {run.task.key for run in plan.runs if run.entry.name == "kd"}
    assert {
        run.task.key for run in made.runs(plan.searches[0].entry, {"knowledge.temperature": 4.0})
    } == shared


def test_a_suite_from_a_file(tmp_path: Path, zoo: Zoo) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("pairs: [{teacher: test_resnet, student: test_vit}]\nepochs: 2\n")
    name, suite = open_suite(str(file), load_registry(zoo))
    assert (name, suite.epochs, suite.pairs[0].label) == ("mine", 2, "test_resnet>test_vit")
    file.write_text("pairs: [{teacher: test_resnet, student: test_vit}]\nepoch: 2\n")
    with pytest.raises(KdzooError, match=r"mine\.yaml: epoch: "):
        open_suite(str(file), load_registry(zoo))
    with pytest.raises(KdzooError, match=r"unknown suite 'quik'; did you mean quick\?"):
        open_suite("quik", load_registry(zoo))


def test_the_suites_that_ship_can_be_planned(zoo: Zoo, tmp_path: Path) -> None:
    registry = load_registry(zoo)
    for name, suite in registry.suites.items():
        # the folders of images are the user's
        planner = Planner(
            name, suite, output=tmp_path, zoo=zoo, registry=registry, facts=lambda config, student: FACTS
        )
        plan = planner.plan()
        assert not plan.refused
        entries = {run.entry.method for run in plan.runs} | {one.entry.method for one in plan.searches}
        assert entries >= (set(registry.methods) if suite.methods == "installed" else set(suite.methods))


def test_every_method_gets_the_same_number_of_candidates(planner):
    made = planner(
        methods=["baseline", "kd", "dkd"],
        tune={"*": [{"algorithm.teach_weight": "x0.5"}, {"algorithm.teach_weight": "x1"}], "baseline": []},
    )
    tried = {search.entry.method: search.candidates for search in made.plan().searches}
    values = {
        method: [one.settings["algorithm.teach_weight"] for one in candidates]
        for method, candidates in tried.items()
    }
    assert values == {"kd": [0.45, 0.9], "dkd": [0.5, 1.0]}


def test_tuned_settings_alone_can_be_reported_but_the_baseline_stays(planner):
    candidates = [{"optim.lr": 0.001}]
    plan = planner(methods=["baseline", "kd"], tune={"*": candidates}, only_tuned=True).plan()
    assert {run.entry.name for run in plan.runs} == {"baseline"}
    assert {search.entry.name for search in plan.searches} == {"baseline (tuned)", "kd (tuned)"}


@pytest.mark.parametrize("key", ["knowledge.alpha", "algorithm.name"])
def test_a_factor_on_no_number_is_refused(planner, key):
    with pytest.raises(KdzooError, match=f"tune: {key} 'x2' is a factor on a number, and method 'kd'"):
        planner(methods=["kd"], tune={"kd": [{key: "x2"}]}).plan()
