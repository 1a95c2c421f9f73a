"""``kdzoo.load`` of a suite."""

import pytest

import kdzoo
from kdzoo.python import LoadedSuite


def test_a_loaded_suite_has_its_leaderboard_and_its_runs(write_suite):
    folder = write_suite(
        {"baseline": [90.0, 91.0, 92.0], "kd": [91.0, 92.0, 93.1], "dkd": [80.0, None, 82.0]}
    )
    suite = kdzoo.load(folder)
    assert isinstance(suite, LoadedSuite)
    rows = suite.leaderboard
    assert [row["entry"] for row in rows] == ["kd", "baseline", "dkd"]
    assert rows[0]["pair"] == "test_resnet>test_efficientnet"
    assert (rows[0]["last"], rows[0]["last_half"]) == pytest.approx((92.0333, 2.6094), abs=1e-4)
    assert (rows[0]["difference"], rows[1]["difference"]) == (pytest.approx(1.0333, abs=1e-4), None)
    assert (rows[2]["seeds"], rows[2]["parameters"]) == (2, 360_000)
    assert len(suite.runs) == 9
    run = suite.runs["jobs/run-1-2"]
    assert run.result["test/last"] == 93.1
    assert [row["epoch"] for row in run.metrics] == [1, 2, 3, 4, 5, 6]
    assert suite.runs["jobs/run-2-1"].result is None
    assert suite.failures == {}
    assert suite.results.unfinished == 1
