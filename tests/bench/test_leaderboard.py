"""The statistics, against numbers worked out by hand from a table of Student's t; and the table on a terminal."""

import io

import pytest
from rich.console import Console

from kdzoo.bench.leaderboard import Estimate, Score, estimate, leaderboard, reference, teacher_accuracy
from kdzoo.bench.recorded import Result
from kdzoo.bench.results import PairResults
from kdzoo.bench.table import cells, headings, terminal_table, wandb_columns, wandb_rows
from kdzoo.bench.words import columns_left_out
from kdzoo.cli.output import print_whole
from kdzoo.errors import KdzooError

T_1, T_2 = 12.7062, 4.30265  # the 0.975 quantiles for 1 and 2 degrees of freedom


def score(entry: str, seed: int, last: float, **more: float | None) -> Score:
    values = {
        "chosen": last,
        "teacher": None,
        "seconds": 10.0,
        "process_seconds": 9.0,
        "memory_mb": 500.0,
        **more,
    }
    return Score(entry, seed, last, parameters=7, **values)  # type: ignore[arg-type]  # a test's shorthand


def test_an_interval_over_three_seeds() -> None:
    # deviations -2, 0, 2: s = 2; half width = t * 2 / sqrt(3)
    found = estimate([90.0, 92.0, 94.0])
    assert (found.mean, found.n) == (92.0, 3)
    assert found.half_width == pytest.approx(T_2 * 2 / 3**0.5, rel=1e-4)
    assert (found.low, found.high) == pytest.approx((92 - 4.9683, 92 + 4.9683), abs=1e-3)


def test_an_interval_over_two_seeds() -> None:
    # deviations -1, 1: s = sqrt(2); half width = t * sqrt(2) / sqrt(2)
    assert estimate([90.0, 92.0]).half_width == pytest.approx(T_1, rel=1e-4)


def test_a_single_seed_has_no_interval() -> None:
    found = estimate([90.0])
    assert found == Estimate(90.0, None, 1)
    assert not found.excludes_zero


def test_differences_are_paired_by_seed() -> None:
    # seeds are worth 10 points, the method 1 +- 0.1: only pairing shows it
    base, ours = [70.0, 80.0, 90.0], [70.9, 81.0, 91.1]
    scores = [score("base", seed, value) for seed, value in enumerate(base)]
    scores += [score("ours", seed, value) for seed, value in enumerate(ours)]
    rows = leaderboard(scores, "base")
    assert [row.entry for row in rows] == ["ours", "base"]
    difference = rows[0].difference
    assert difference is not None
    assert difference.mean == pytest.approx(1.0)
    assert difference.half_width == pytest.approx(T_2 * 0.1 / 3**0.5, rel=1e-4)
    assert difference.excludes_zero
    assert rows[1].difference is None
    assert rows[0].last.half_width is not None
    assert rows[0].last.half_width > 20


def test_a_missing_seed_is_left_out_of_the_pairs() -> None:
    scores = [score("base", seed, 80.0 + seed) for seed in (0, 2)]
    scores += [score("ours", seed, 85.0) for seed in (0, 1, 2)]
    row = leaderboard(scores, "base")[0]
    assert (row.seeds, row.last.n) == ((0, 1, 2), 3)
    assert row.difference is not None
    assert (row.difference.n, row.difference.mean) == (2, pytest.approx(4.0))


def test_without_the_baseline_there_are_no_differences() -> None:
    assert leaderboard([score("ours", 0, 85.0)], "base")[0].difference is None
    assert leaderboard([], "base") == []


def test_last_and_chosen_are_never_mixed() -> None:
    scores = [
        score("a", 0, 80.0, chosen=99.0),
        score("a", 1, 80.0, chosen=99.0),
        score("b", 0, 81.0, chosen=None),
    ]
    b, a = leaderboard(scores, "a")
    assert (a.last.mean, a.chosen and a.chosen.mean) == (80.0, 99.0)
    assert (b.entry, b.chosen) == ("b", None)


def test_cost_is_the_mean_time_and_the_largest_memory() -> None:
    scores = [
        score("a", 0, 80.0, seconds=10.0, memory_mb=500.0),
        score("a", 1, 80.0, seconds=14.0, memory_mb=700.0),
    ]
    row = leaderboard(scores, "a")[0]
    assert (row.seconds, row.memory_mb) == (12.0, 700.0)


def test_a_tuned_entry_is_compared_with_the_tuned_baseline_where_there_is_one() -> None:
    names = {"base", "kd", "kd (tuned)", "base (tuned)"}
    assert {name: reference(name, names, "base") for name in names} == {
        "base": None,
        "kd": "base",
        "kd (tuned)": "base (tuned)",
        "base (tuned)": "base",
    }
    assert reference("kd (tuned)", {"base", "kd (tuned)"}, "base") == "base"
    assert reference("kd", {"kd"}, "base") is None


def test_the_teacher_is_reported_where_there_is_one() -> None:
    assert teacher_accuracy([score("a", 0, 80.0)]) is None
    assert teacher_accuracy([score("a", 0, 80.0), score("b", 0, 80.0, teacher=97.0)]) == 97.0


def board(*names: str) -> PairResults:
    scores = [score(name, seed, 80.0 + seed, chosen=81.0, seconds=12.5) for name in names for seed in (0, 1)]
    return PairResults("resnet50>resnet18", tuple(leaderboard(scores, "base")), 97.0, None)


def printed(results: PairResults, width: int | None) -> tuple[list[str], list[str]]:
    """The lines on a terminal of that width (None: a file), and the columns that it leaves out."""
    table, left_out = terminal_table(results, width)
    out = Console(file=io.StringIO(), width=width or 20)
    print_whole(out, table)
    return out.file.getvalue().splitlines(), left_out  # type: ignore[attr-defined]  # a StringIO


LONG = "fitnet-two-phase (tuned)"


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (None, []),
        (160, []),
        (80, ["peak MB", "from"]),
        (50, ["n", "test %, chosen epoch", "seconds a run", "peak MB", "from"]),
        (10, ["n", "test %, chosen epoch", "seconds a run", "peak MB", "from"]),
    ],
)
def test_a_terminal_shows_whole_names_and_the_columns_that_it_has_room_for(
    width: int | None, left_out: list[str]
) -> None:
    lines, without = printed(board("base", LONG), width)
    assert without == left_out
    assert len(lines) == 4  # two of headings
    if width and width > 50:
        assert max(map(len, lines)) <= width
    base, ours = sorted(lines[2:], key=len)
    assert base.startswith("base  ")
    assert ours.startswith(f"{LONG}  ")
    assert "+0.00 ± 0.00" in ours
    assert (base + ours).count("80.50 ± 6.35") == 2
    assert len({line.index("80.50") for line in (base, ours)}) == 1


def test_what_is_left_out_is_said() -> None:
    assert columns_left_out(["peak MB", "from"]) == (
        "This terminal is too narrow for: peak MB; from. The report has every column."
    )


def test_a_suite_has_its_own_headline_and_columns() -> None:
    scores = [
        Score.of(
            name,
            seed,
            Result.model_validate(
                {
                    **ENDED,
                    "test/last": 90.0,
                    "test/knn": knn + seed,
                    **({"test/f1": 50.0} if name == "a" else {}),
                }
            ),
            headline="test/knn",
            columns=("test/last", "test/f1"),
        )
        for name, knn in (("a", 40.0), ("base", 60.0))
        for seed in (0, 1)
    ]
    rows = leaderboard(scores, "base")
    assert [row.entry for row in rows] == ["base", "a"]
    assert rows[1].difference is not None
    assert rows[1].difference.mean == pytest.approx(-20.0)
    pair = PairResults("t>s", tuple(rows), None, None, "test/knn", ("test/last", "test/f1"))
    names = headings(pair)
    assert names[2] == "test/knn"
    assert dict(zip(names, cells(rows[0]), strict=True))["test/f1"] == "–"
    assert dict(zip(names, cells(rows[1]), strict=True))["test/f1"] == "50.00 ± 0.00"
    assert dict(zip(wandb_columns([pair]), wandb_rows([pair])[0], strict=True))["test/knn"] == 60.5


def test_a_result_without_the_headline_is_refused() -> None:
    with pytest.raises(KdzooError, match="unknown figure 'test/knn'"):
        Score.of("a", 0, Result.model_validate({**ENDED, "test/last": 90.0}), headline="test/knn")


ENDED = {"seconds": 1.0, "process_seconds": 1.0, "peak_memory_mb": 1.0, "parameters": 1}
