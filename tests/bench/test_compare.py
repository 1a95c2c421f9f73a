"""The tests between methods, against values of scipy.stats and of a calculation by hand."""

from random import Random

import pytest
from scipy import stats

from kdzoo.bench.compare import (
    groups,
    holm,
    mean_ranks,
    paired_p,
    pooled_p,
    reproduction,
    residual,
    seeds_needed,
)


def test_a_paired_test_is_that_of_scipy() -> None:
    one, other = [71.2, 71.9, 70.8, 71.5], [70.9, 71.1, 70.7, 71.0]
    differences = [a - b for a, b in zip(one, other, strict=True)]
    assert paired_p(differences) == pytest.approx(stats.ttest_rel(one, other).pvalue)
    assert paired_p([0.3]) is None
    assert paired_p([0.0, 0.0]) == 1.0
    assert paired_p([0.5, 0.5]) == 0.0


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({}) == {}


@pytest.mark.parametrize(("published", "verdict"), [(73.33, "within"), (72.0, "above"), (75.0, "below")])
def test_a_published_mean_has_a_deviation_of_its_own(published: float, verdict: str) -> None:
    values = [73.1, 73.5, 73.6]
    found = reproduction(values, published, 5)
    error = stats.tstd(values) * (1 / 3 + 1 / 5) ** 0.5
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 2) * error)
    assert found.difference == pytest.approx(73.4 - published)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(73.4 - published) / error, 2))
    assert found.verdict == verdict
    wider = reproduction(values, published, None)
    assert wider.half_width is not None
    assert wider.half_width > found.half_width


def test_one_run_proves_nothing() -> None:
    found = reproduction([73.0], 73.33, 5)
    assert (found.verdict, found.half_width, found.p) == ("one run", None, None)
    assert found.difference == pytest.approx(-0.33)


def test_groups_are_neighbours_that_cannot_be_told_apart() -> None:
    seeds = (0.0, 0.3, 0.9, 0.2, 0.5, 0.4)
    noise = (0.01, -0.02, 0.03, -0.01, 0.02, -0.03)
    accuracies = {
        "best": {seed: 75 + value for seed, value in enumerate(seeds)},
        "like it": {seed: 75 + value + noise[seed] for seed, value in enumerate(seeds)},
        "worse": {seed: 73 + value - noise[seed] for seed, value in enumerate(seeds)},
    }
    assert [set(group) for group in groups(accuracies)] == [{"best", "like it"}, {"worse"}]
    once = {name: {0: values[0]} for name, values in accuracies.items()}
    assert [set(group) for group in groups(once)] == [{"best", "like it", "worse"}]


def test_seeds_that_it_takes() -> None:
    def power(n: int, effect: float) -> float:
        critical = stats.t.ppf(0.975, n - 1)
        return float(stats.nct.sf(critical, n - 1, effect * n**0.5))

    found = seeds_needed(0.3, 0.25)
    assert found is not None
    assert power(found, 0.3 / 0.25) >= 0.8 > power(found - 1, 0.3 / 0.25)
    assert seeds_needed(0.3, 0.0) == 2
    assert seeds_needed(0.3, 100.0) is None
    assert (seeds_needed(0.3, 0.01) or 0) <= 3


def test_the_deviation_is_that_of_a_table_of_entries_and_seeds() -> None:
    table = {"a": {0: 1.0, 1: 2.0, 2: 6.0}, "b": {0: 3.0, 1: 2.0, 2: 7.0}}
    differences = [table["b"][seed] - table["a"][seed] for seed in range(3)]
    found = residual(table)
    assert found is not None
    assert found.freedom == 2
    assert found.error(3) == pytest.approx(stats.sem(differences)), "of two entries, that of the paired test"
    assert pooled_p(differences, found) == pytest.approx(stats.ttest_1samp(differences, 0.0).pvalue)
    assert pooled_p(differences[:1], found) is None
    assert residual({"a": {0: 1.0, 1: 2.0}}) is None, "one entry"
    assert residual({"a": {0: 1.0}, "b": {0: 2.0}}) is None, "one seed"
    shifted = residual({name: {seed: one[seed] + 5 * seed for seed in one} for name, one in table.items()})
    assert shifted is not None
    assert shifted.deviation == pytest.approx(found.deviation), "what seeds have in common is no deviation"


def test_entries_that_lack_a_seed_count_with_those_that_they_have() -> None:
    whole = {
        name: {seed: 70.0 + seed + 0.1 * number * (-1) ** seed for seed in range(4)}
        for number, name in enumerate("abc")
    }
    found, part = residual(whole), residual({**whole, "c": {1: 71.3}})
    assert found is not None
    assert part is not None
    assert (found.freedom, part.freedom) == (6, 3)


def test_groups_are_those_of_tukeys_test() -> None:
    """Without anything in common between seeds, scipy's test of one-way tables is nearly that of two ways."""
    accuracies = {
        "a": {0: 71.0, 1: 72.0, 2: 71.5, 3: 71.5},
        "b": {0: 71.4, 1: 71.6, 2: 70.9, 3: 72.1},
        "c": {0: 69.0, 1: 68.2, 2: 68.8, 3: 68.0},
    }
    told = stats.tukey_hsd(*(list(one.values()) for one in accuracies.values())).pvalue < 0.05
    assert told.tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    assert [set(group) for group in groups(accuracies)] == [{"a", "b"}, {"c"}]


def test_groups_of_runs_that_do_not_vary() -> None:
    same = {"a": {0: 80.0, 1: 81.0}, "b": {0: 80.0, 1: 81.0}, "c": {0: 79.0, 1: 80.0}}
    assert [set(group) for group in groups(same)] == [{"a", "b"}, {"c"}]


def test_few_seeds_tell_entries_apart_only_when_many_share_a_deviation() -> None:
    """Thirty entries with three seeds each: ten points apart, with a deviation of one."""
    random = Random(0)
    accuracies = {
        f"{number}": {seed: (50.0 if number else 60.0) + random.gauss(0, 1) for seed in range(3)}
        for number in range(30)
    }
    assert groups(accuracies)[0] == ("0",)


def test_ranks_over_pairs_with_a_tie() -> None:
    boards = [{"a": 75.0, "b": 74.0, "c": 74.0}, {"a": 70.0, "b": 71.0, "c": 69.0, "only here": 99.0}]
    assert mean_ranks(boards) == {"a": 1.5, "b": 1.75, "c": 2.75}
    assert mean_ranks([]) == {}
