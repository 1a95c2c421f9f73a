"""``kdzoo bench`` with jobs, from the command line."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from kdzoo.bench.executors.record import read_record
from kdzoo.cli.main import app

SUITE = """
summary: One method that works and one that does not.
data: {dataset: digits, train_per_class: 8, test_per_class: 5, batch_size: 16}
pairs: [{teacher: test_resnet, student: test_efficientnet}]
methods: [kd, dml]
seeds: [0]
epochs: 1
tune: {kd: [{knowledge.temperature: 2.0}]}
settings: {dml: {roles.peer1.model: test_resnet, roles.peer1.kwargs.no_such_argument: 1}}
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    file = tmp_path / "small.yaml"
    file.write_text(SUITE)
    return file


def bench(monkeypatch: pytest.MonkeyPatch, *words: object) -> Result:
    monkeypatch.setattr("sys.argv", ["kdzoo", "bench", *map(str, words)])
    return CliRunner().invoke(app, ["bench", *map(str, words)])


def figures(output: Path) -> Any:
    board = json.loads((output / "leaderboard.json").read_text())
    rows = [(row["entry"], row["last"], row["chosen"]) for pair in board["pairs"] for row in pair["rows"]]
    return rows, [one["name"] for one in board["failures"]], board["tuning"][0]["candidates"]


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # submitit leaves its log files open
@pytest.mark.parametrize("cluster", ["debug", "local"])
def test_jobs_on_this_machine_end_as_the_pool_does(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: str
) -> None:
    here, output = tmp_path / "here", tmp_path / "jobs"
    assert (
        bench(monkeypatch, suite, "--output", here, "--workers", 1).exit_code == 1
    )  # dml cannot build its peer
    done = bench(monkeypatch, suite, "--output", output, "--cluster", cluster, "--per-gpu", 2)
    assert done.exit_code == 1, done.output
    assert figures(output) == figures(here)
    assert "failed: dml seed 0: " in done.stderr
    shown = bench(monkeypatch, "status", output)
    assert "6 jobs: 5 done, 1 failed" in shown.stdout
    assert "failed: dml seed 0: " in shown.stdout
    assert not bench(monkeypatch, "cancel", output).stdout.startswith("1")


@pytest.mark.slow
def test_the_commands_of_a_plan_do_the_suite(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    words = (suite, "--output", output, "--methods", "kd")
    lines = bench(monkeypatch, "plan", *words, "--commands").stdout.splitlines()
    teacher, trial, *_ = (shlex.split(line, comments=True) for line in lines)
    assert teacher[:3] == ["kdzoo", "bench", "run-one"]
    assert teacher[3].startswith("teachers/test_resnet-")
    assert teacher[4:] == ["--output", str(output)]
    assert [line.partition("  # after: ")[2] for line in lines] == [
        "",
        "",
        teacher[3],
        teacher[3],
        "all; writes the leaderboard, and does what is known only then",
    ]
    for line in lines[:-1]:
        done = bench(monkeypatch, *shlex.split(line, comments=True)[2:])
        assert done.exit_code == 0, done.output
    assert read_record(output / teacher[3]).outcome == "done"
    assert trial
    # each is idempotent, and the plan has nothing but the last command
    assert bench(monkeypatch, *shlex.split(lines[0], comments=True)[2:]).exit_code == 0
    assert len(read_record(output / teacher[3]).attempts) == 1
    after = json.loads(bench(monkeypatch, "plan", *words, "--json").stdout)
    assert [one["name"] for one in after["jobs"]] == ["kd (tuned) seed 0"]
    assert after["last"] == shlex.join(["kdzoo", "bench", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan"], "kdzoo bench plan: missing the suite"),
        (["status"], "kdzoo bench status: missing the folder"),
        (["status", "nowhere"], "nowhere: no jobs of a suite"),
        (["cancel", "nowhere"], "nowhere: no jobs of a suite"),
        (["run-one"], "kdzoo bench run-one: missing the key"),
        (["run-one", "jobs/x"], "missing --output"),
        (["run-one", "jobs/x", "--output", "nowhere"], "nowhere: no plan of jobs (plan.jsonl)"),
        (["quick", "--commands"], "--commands is for kdzoo bench plan quick"),
        (["quick", "--watch"], "--watch is for --cluster"),
        (["quick", "--jobs", "2"], "--jobs is for --cluster"),
        (["quick", "--per-gpu", "2"], "--per-gpu is for --cluster"),
        (["quick", "--cluster", "debug", "--cluster-config", "nowhere.yaml"], "nowhere.yaml: No such file"),
        (
            ["quick", "--cluster", "debug", "--cluster-config", "{file}"],
            "slurm.yaml: partitoin: Extra inputs",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slurm.yaml").write_text("partitoin: gpu")
    done = bench(monkeypatch, *(word.format(file=tmp_path / "slurm.yaml") for word in words))
    assert message in str(done.exception)
    assert type(done.exception).__module__ == "kdzoo.errors"
    assert [one.name for one in tmp_path.iterdir()] == ["slurm.yaml"]
