"""The suites of rungs and final, the shortlist, and the measure of students without labels."""

from __future__ import annotations

import pytest
import torch

from kdzoo.bench.data import SuiteData
from kdzoo.bench.planner import Planner
from kdzoo.compress import suites
from kdzoo.compress.likeness import explained
from kdzoo.compress.plan import Student
from kdzoo.compress.request import Request
from kdzoo.compress.shortlist import shortlist
from kdzoo.compress.suites import LONGER, Arm
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.roles import RoleConfig
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Registry, Suite
from kdzoo.zoo import Zoo

DIGITS = DataConfig(dataset="digits", train_per_class=4, test_per_class=4, batch_size=16)
TEACHER = RoleConfig(model="test_resnet", epochs=1)
STUDENTS = [
    Student(model=name, parameters=1, train=1.0, answer=1.0) for name in ("test_efficientnet", "test_resnet2")
]


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo()


@pytest.fixture(scope="module")
def registry(zoo: Zoo) -> Registry:
    return suites.with_longer(load_registry(zoo))


def planned(suite: Suite, registry: Registry, zoo: Zoo, tmp_path) -> Planner:
    return Planner("one", suite, output=tmp_path, zoo=zoo, registry=registry, facts=SuiteData().facts)


def test_a_rung_reads_no_test_picture(registry, zoo, tmp_path) -> None:
    arms = [Arm("test_efficientnet", "kd"), Arm("test_efficientnet", "srrl")]
    suite = suites.rung(arms, STUDENTS[:1], TEACHER, DIGITS, 8, labelled=True)
    plan = planned(suite, registry, zoo, tmp_path).plan()
    assert [run.entry.method for run in plan.runs] == ["baseline", "kd", "srrl"]
    assert not any(run.task.tests for run in plan.runs)
    assert {run.task.recipe.eval_every for run in plan.runs} == {2}


def test_a_student_has_only_its_own_arms() -> None:
    arms = [Arm("test_efficientnet", "kd"), Arm("test_resnet2", "srrl")]
    suite = suites.rung(arms, STUDENTS, TEACHER, DIGITS, 8, labelled=True)
    assert [pair.without for pair in suite.pairs] == [("srrl",), ("kd",)]
    alone = suites.rung(arms[:1], STUDENTS, TEACHER, DIGITS, 8, labelled=True)
    assert [pair.student.model for pair in alone.pairs] == ["test_efficientnet"]


def test_the_final_has_the_controls_and_one_trains_longer(registry, zoo, tmp_path) -> None:
    suite = suites.final(
        Arm("test_efficientnet", "kd"), STUDENTS[0], TEACHER, DIGITS, 8, 13, 2, labelled=True
    )
    plan = planned(suite, registry, zoo, tmp_path).plan()
    epochs = {run.entry.name: run.task.recipe.epochs for run in plan.runs}
    assert epochs == {"baseline": 8, "kd": 8, "label-smoothing": 8, LONGER: 13}
    assert all(run.task.tests for run in plan.runs)
    assert len(plan.runs) == 8
    plain = {run.entry.name: run.task.recipe for run in plan.runs}
    assert plain[LONGER].smoothing == 0
    assert not plain[LONGER].knowledge


def test_weights_of_a_student_are_in_every_entry(registry, zoo, tmp_path) -> None:
    begun = STUDENTS[0].model_copy(update={"weights": "pretrained"})
    suite = suites.final(Arm("test_efficientnet", "kd"), begun, TEACHER, DIGITS, 2, 2, 1, labelled=True)
    recipes = [run.task.recipe for run in planned(suite, registry, zoo, tmp_path).plan().runs]
    assert {one.roles["student"].weights for one in recipes} == {"pretrained"}
    assert len({one.optim.lr for one in recipes}) == 1


def test_the_shortlist_is_what_the_registry_says(registry, zoo) -> None:
    empty = Request(data=DIGITS, budget=1)
    for situation in ("labels", "few-labels", "no-labels"):
        found = shortlist(empty, situation, registry, zoo)
        assert found == [name for name, one in registry.methods.items() if situation in one.suits]
        assert found
    assert shortlist(Request(data=DIGITS, budget=1, methods=("rkd",)), "labels", registry, zoo) == ["rkd"]


def test_what_does_not_suit_is_refused(registry, zoo) -> None:
    def asked(*names: str) -> Request:
        return Request(data=DIGITS, budget=1, methods=names)

    with pytest.raises(UnknownName, match="did you mean"):
        shortlist(asked("rkdd"), "labels", registry, zoo)
    with pytest.raises(KdzooError, match="baselines are compared with anyway"):
        shortlist(asked("label-smoothing"), "labels", registry, zoo)
    with pytest.raises(KdzooError, match="no teacher that is trained before"):
        shortlist(asked("dml"), "labels", registry, zoo)
    with pytest.raises(KdzooError, match="there are no labels, and"):
        shortlist(asked("ab"), "no-labels", registry, zoo)


def test_a_linear_map_explains_what_it_can() -> None:
    draw = torch.Generator().manual_seed(0)
    ours = torch.randn(2000, 6, generator=draw)
    other = torch.randn(2000, 6, generator=draw)
    theirs = 3 * ours @ torch.randn(6, 9, generator=draw) + 1
    halves = slice(0, 1000), slice(1000, None)
    same = explained(ours[halves[0]], theirs[halves[0]], ours[halves[1]], theirs[halves[1]])
    none = explained(other[halves[0]], theirs[halves[0]], other[halves[1]], theirs[halves[1]])
    assert 98.5 < same <= 100
    assert abs(none) < 3
    still = explained(ours[halves[0]], theirs[halves[0]] * 0 + 2, ours[halves[1]], theirs[halves[1]] * 0 + 2)
    assert still == 0  # a teacher that always says the same teaches nothing
