"""``kdzoo bench`` from the command line, with real training."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kdzoo.bench.ledger import read_ledger
from kdzoo.cli.main import app
from kdzoo.jobs.folder import finished

SUITE = """
summary: Two methods that work and one that does not.
data: {dataset: digits, train_per_class: 8, test_per_class: 5, batch_size: 16}
pairs: [{teacher: test_resnet, student: test_efficientnet}]
methods: [kd, dml]
seeds: [0]
epochs: 1
tune: {kd: [{knowledge.temperature: 2.0}]}
recipe: {roles: {peer1: {model: test_resnet, kwargs: {no_such_argument: 1}}}}
"""


def test_a_small_suite_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the tests beside this one have their cores
    file, output = tmp_path / "small.yaml", tmp_path / "out"
    file.write_text(SUITE)
    command = ["bench", str(file), "--output", str(output), "--workers", "1"]
    runner = CliRunner()

    done = runner.invoke(app, command)
    assert done.exit_code == 1, done.output  # dml cannot build its peer
    ledger, _ = read_ledger(output)
    (failure,) = ledger.failures
    assert failure.name == "dml seed 0"
    assert "no_such_argument" in failure.error
    assert f"failed: dml seed 0: {failure.error}" in done.stderr
    assert failure.folder is not None
    assert "Traceback" in (output / failure.folder / "error.txt").read_text()

    results = {run.entry: finished(output / run.folder) for run in ledger.runs}
    assert results.keys() == {"baseline", "kd", "kd (tuned)", "dml"}
    for entry in ("baseline", "kd", "kd (tuned)"):
        result = results[entry]
        assert result is not None
        assert f"{result['test/last']:.2f}" in next(
            line for line in done.stdout.splitlines() if line.startswith(f"{entry}  ")
        )
    teacher = Path(results["kd"]["teacher_path"])  # type: ignore[index]  # checked above
    assert teacher == Path(results["kd (tuned)"]["teacher_path"])  # type: ignore[index]  # checked above
    (start,) = (json.loads(line) for line in (teacher.parent / "metrics.jsonl").read_text().splitlines()[:1])
    assert start["job"]["kind"] == "teacher"
    assert start["job"]["suite"] == "small"
    assert (output / "report.html").stat().st_size > 20_000
    # every run that was begun, the teacher's and the leaderboard's among them, in one folder
    assert len(list((output / "wandb").glob("offline-run-*"))) == 1 + 4 + 1

    # what is finished stays; what failed is tried again, here without it
    again = runner.invoke(app, [*command, "--methods", "kd", "--json"])
    assert again.exit_code == 0, again.output
    board = json.loads(again.stdout)
    assert board == json.loads((output / "leaderboard.json").read_text())
    rows = {row["entry"]: row for row in board["pairs"][0]["rows"]}
    assert rows.keys() == {"baseline", "kd", "kd (tuned)"}
    assert rows["kd"]["last"] == {"mean": results["kd"]["test/last"], "half_width": None, "n": 1}  # type: ignore[index]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["quik"], "unknown suite 'quik'; did you mean quick?"),
        (["quick", "--methods", "kdd"], "unknown method 'kdd'; did you mean"),
        (["quick", "--seeds", "0,x"], "--seeds 0,x: expected whole numbers"),
        (["quick", "--seeds", "1000"], "tune_seed must not be among seeds"),
        (["quick", "--set", "optim.lr=-1"], "--set: optim.lr: "),
        (["quick", "--workers", "100000"], "--workers 100000: this machine has"),
        (["quick", "--data-dir", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(flags: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", *flags, "--output", str(tmp_path / "out")])
    assert message in str(done.exception)
    assert type(done.exception).__module__ == "kdzoo.errors"
    assert not (tmp_path / "out").exists()


def test_reporting_a_folder_that_is_neither(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert "neither the folder of a suite" in str(done.exception)
