"""The tests between methods, against values of scipy.stats and of a calculation by hand."""

import pytest
from scipy import stats

from kdzoo.bench.compare import (
    groups,
    holm,
    mean_ranks,
    paired_p,
    pooled_deviation,
    reproduction,
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


def test_the_deviation_is_pooled_over_methods() -> None:
    assert pooled_deviation([[1.0, 3.0], [5.0, 5.0, 8.0]]) == pytest.approx(((2 + 6) / 3) ** 0.5)
    assert pooled_deviation([[1.0]]) is None


def test_ranks_over_pairs_with_a_tie() -> None:
    boards = [{"a": 75.0, "b": 74.0, "c": 74.0}, {"a": 70.0, "b": 71.0, "c": 69.0, "only here": 99.0}]
    assert mean_ranks(boards) == {"a": 1.5, "b": 1.75, "c": 2.75}
    assert mean_ranks([]) == {}
