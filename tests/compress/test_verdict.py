"""The answer follows from the accuracies of the seeds, and from nothing else."""

from __future__ import annotations

import pytest

from kdzoo.compress.verdict import about_test, judge

PLAIN = {0: 80.0, 1: 81.0, 2: 79.0}


def shifted(*points: float) -> dict[int, float]:
    return {seed: value + points[seed % len(points)] for seed, value in PLAIN.items()}


def test_above_every_control_is_worth_it() -> None:
    found = judge({"new": shifted(5.0, 5.1, 4.9), "plain": PLAIN, "longer": shifted(1.0, 1.1, 0.9)}, "new")
    assert found.worth == "yes"
    assert [one.difference.mean for one in found.comparisons] == pytest.approx([5.0, 4.0])
    first = next(found.lines())
    assert first.startswith("Worth it: new is above every control")
    assert "+5.00 ± 0.25 points against plain" in first


def test_one_control_as_good_is_enough_for_no() -> None:
    found = judge({"new": shifted(5.0, 5.1, 4.9), "plain": PLAIN, "longer": shifted(5.2)}, "new")
    assert found.worth == "no"
    assert next(found.lines()).startswith("Not worth it here: longer is as good as new or better")


def test_what_chance_explains_cannot_be_told() -> None:
    found = judge({"new": shifted(3.0, -1.0, 1.0), "plain": PLAIN}, "new")
    assert found.worth == "cannot tell"
    assert found.needed is not None
    assert found.needed > 3
    assert "can be chance" in next(found.lines())


def test_one_seed_tells_nothing() -> None:
    found = judge({"new": {0: 90.0}, "plain": {0: 80.0}}, "new")
    assert found.worth == "cannot tell"
    assert "1 seed cannot tell a difference from chance" in next(found.lines())
    assert judge({"new": {0: 80.0}, "plain": {0: 90.0}}, "new").worth == "cannot tell"


def test_two_seeds_that_happen_to_differ_alike_tell_nothing() -> None:
    found = judge({"new": {0: 80.5, 1: 81.5}, "plain": {0: 80.0, 1: 81.0}}, "new")
    assert found.worth == "cannot tell"
    assert str(found.comparisons[0]) == "+0.50 points against plain"


def test_seeds_that_one_of_them_lacks_do_not_count() -> None:
    found = judge({"new": {0: 90.0, 1: 91.0}, "plain": {1: 81.0, 2: 60.0}}, "new")
    assert found.comparisons[0].difference.mean == 10.0
    assert found.comparisons[0].difference.n == 1


def test_without_controls_there_is_no_answer() -> None:
    found = judge({"new": {0: 90.0}}, "new")
    assert found.worth == "cannot tell"
    assert "the controls failed" in next(found.lines())


def test_few_pictures_of_the_same_folder_say_little() -> None:
    many, few = list(about_test(10_000, 90.0, cut=False)), list(about_test(100, 90.0, cut=True))
    assert "± 0.6 points" in many[0]
    assert len(many) == 1
    assert "± 5.9 points" in few[0]
    assert "few" in few[1]
    assert "no test split" in few[2]
