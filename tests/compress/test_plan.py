"""What is tried in the time that is given."""

from __future__ import annotations

from typing import Any

import pytest

from kdzoo.compress.plan import LADDER, LEAST_EPOCHS, Plan, Student, fitted, most_epochs
from kdzoo.compress.request import Request
from kdzoo.compress.run import final_within
from kdzoo.compress.teacher import Teacher
from kdzoo.recipe.data import DataConfig

STUDENTS = [
    Student(model=f"net{number}", parameters=1000 - number, train=0.004, answer=0.001) for number in range(4)
]
METHODS = ["a", "b", "c", "d", "e", "f"]


def plan(**changes: Any) -> Plan:
    facts: dict[str, Any] = {
        "situation": "labels",
        "teacher": Teacher(model="big", parameters=10**6, epochs=5, seconds=60.0, answer=0.002),
        "students": tuple(STUDENTS),
        "methods": tuple(METHODS[:4]),
        "seeds": 3,
        "epochs": 10,
        "views": 0.0005,
        "workers": 2,
        "counts": (1000, 200, 500),
        "batch": 32,
    }
    return Plan(**{**facts, **changes})


def given(seconds: float) -> Plan | None:
    return fitted(plan(), seconds, Request(data=DataConfig(), budget=1), STUDENTS, METHODS)


def test_half_of_the_arms_go_on_for_twice_the_epochs() -> None:
    assert plan().rungs() == [(16, 8), (8, 4), (4, 2)]
    assert plan(methods=("a",), students=STUDENTS[:2]).rungs() == [(2, 2)]
    assert plan(methods=("a",), students=STUDENTS[:1]).rungs() == []


def test_a_longer_budget_tries_more_and_never_expects_to_exceed_it() -> None:
    found = [given(seconds) for seconds in (200, 400, 900, 3600, 40_000)]
    assert found[0] is not None
    breadths = []
    for one, seconds in zip(found, (200, 400, 900, 3600, 40_000), strict=True):
        assert one is not None
        assert one.seconds <= seconds
        assert one.epochs >= LEAST_EPOCHS
        breadths.append(len(one.students) * len(one.methods) * one.seeds)
    assert breadths == sorted(breadths)
    assert breadths[0] < breadths[-1]
    assert breadths[-1] == LADDER[0].students * LADDER[0].methods * LADDER[0].seeds


def test_too_little_time_has_no_plan() -> None:
    least = plan(students=STUDENTS[:1], methods=("a",), seeds=1).expected(LEAST_EPOCHS)
    assert given(least - 1) is None
    found = given(least + 1)
    assert found is not None
    assert (found.epochs, found.seeds, len(found.students)) == (LEAST_EPOCHS, 1, 1)


def test_what_the_user_names_is_tried() -> None:
    request = Request(data=DataConfig(), budget=1, students=("net0", "net1"), methods=("a", "b", "c"))
    found = fitted(plan(), 400, request, STUDENTS[:2], METHODS[:3])
    assert found is not None
    assert (len(found.students), found.methods) == (2, ("a", "b", "c"))


def test_the_most_epochs_fit_and_one_more_does_not() -> None:
    epochs = most_epochs(plan(), 900)
    assert epochs is not None
    assert plan().expected(epochs) <= 900 < plan().expected(epochs + 1)


def test_the_controls_are_counted() -> None:
    """Plain training as long as distillation costs as much as distillation."""
    one = STUDENTS[0]
    taught, plain = (plan().run_seconds(one, 10, taught=kind, tests=True) for kind in (True, False))
    two = plan().final_seconds(10, 2) - plan().final_seconds(10, 1)
    assert two == pytest.approx((2 * taught + 2 * plain) / 2)


def test_a_method_that_computes_much_makes_the_final_longer() -> None:
    usual = plan().ratio(STUDENTS[0])
    assert usual == pytest.approx(0.0065 / 0.0045)
    same, more = (plan().final_seconds(10, 3, STUDENTS[0], one) for one in (usual, usual + 2))
    assert same == pytest.approx(plan().final_seconds(10, 3, STUDENTS[0]))
    assert more - same == pytest.approx(3 * 2 * (2 * 10 * 1000 * 0.0045) / 2)


def test_without_labels_nothing_is_compared() -> None:
    text = " ".join(plan(situation="no-labels").lines())
    assert "plain training" not in text
    assert "the winner" in text


@pytest.mark.parametrize("slower", [0.5, 1.0, 3.0])
def test_a_fifth_of_the_time_is_kept_for_the_last_seed_of_the_final(slower: float) -> None:
    student, ratio = STUDENTS[0], 1.5
    seeds, epochs = final_within(900.0, plan(), student, ratio, slower)
    seconds = [slower * plan().final_seconds(one, seeds, student, ratio) for one in (epochs, epochs + 1)]
    assert seeds == (3 if slower < 3 else 2)
    assert seconds[0] <= 720 < seconds[1]


def test_a_seed_is_left_out_rather_than_trained_too_shortly() -> None:
    found = [final_within(seconds, plan(), STUDENTS[0], 1.5, 1.0) for seconds in (900.0, 250.0, 120.0, 1.0)]
    assert [seeds for seeds, _ in found] == sorted((seeds for seeds, _ in found), reverse=True)
    assert found[0][0] == 3
    assert found[-1] == (1, LEAST_EPOCHS)
