"""A suite on a real Slurm, where one answers: one job is killed, another requeued, and the end is the local one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kdzoo.bench.executors.config import ClusterConfig
from kdzoo.bench.executors.queue import QueuedJob, of_suite, read_batches
from kdzoo.bench.executors.record import read_record
from kdzoo.bench.executors.settings import read_settings
from kdzoo.bench.executors.submitit_queue import SubmititQueue
from kdzoo.errors import KdzooError

SUITE = """
summary: One method and its baseline.
data: {dataset: digits, train_per_class: 20, test_per_class: 20, val_fraction: 0.2, batch_size: 32}
pairs: [{teacher: {model: test_resnet, epochs: 3}, student: test_efficientnet}]
methods: [kd]
seeds: [0]
epochs: 60
recipe: {checkpoint_seconds: 1}
"""


def answers() -> bool:
    try:
        return subprocess.run(["squeue", "--noheader"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def bench(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    environment = {"KDZOO_CACHE": str(folder / "cache"), "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "kdzoo", "bench", *flags]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def queued(output: Path) -> tuple[dict[str, QueuedJob], list[QueuedJob]]:
    settings = read_settings(output)
    queue = SubmititQueue("slurm", output, settings.config, settings.suite)
    return of_suite(queue, read_batches(output))


def numbers(output: Path) -> list[Any]:
    board = json.loads((output / "leaderboard.json").read_text())
    assert not board["failures"]
    return [(pair["pair"], pair["teacher"], pair["accuracies"], pair["inflation"]) for pair in board["pairs"]]


def a_run(output: Path, but: str = "") -> str:
    """The key of a student's run that has a checkpoint and goes on."""
    while True:
        for key, job in queued(output)[0].items():
            saved = (output / key / "checkpoint" / "last.ckpt").exists()
            if key.startswith("jobs/") and key != but and job.running and saved:
                return key
        time.sleep(0.3)


@pytest.mark.slow
@pytest.mark.timeout(900)  # two jobs at a time, on cores that other tests have too
def test_killed_and_requeued_jobs_change_nothing(tmp_path: Path) -> None:
    if not answers():
        pytest.skip("no Slurm answers here; .ci/slurm starts one where it is installed")
    file, output, config = tmp_path / "small.yaml", tmp_path / "out", tmp_path / "slurm.yaml"
    file.write_text(SUITE)
    config.write_text("time: 20\ncoordinator: {time: 20}\n")
    local = bench(tmp_path / "local", str(file), "--output", str(tmp_path / "local" / "out"), "--quiet")
    assert local.returncode == 0, local.stderr
    submit = (str(file), "--output", str(output), "--cluster", "slurm", "--cluster-config", str(config))
    done = bench(tmp_path, *submit)
    assert done.returncode == 0, done.stderr

    killed = a_run(output)
    subprocess.run(["scancel", "--signal=KILL", queued(output)[0][killed].id], check=True)
    requeued = a_run(output, killed)
    subprocess.run(["scontrol", "requeue", queued(output)[0][requeued].id], check=True)
    shown = json.loads(bench(tmp_path, "status", str(output), "--json").stdout)
    assert sum(shown["counts"].values()) == 3
    while any(queued(output)):
        for job in queued(output)[0].values():
            if job.reason == "BeginTime":  # Slurm lets a requeued job wait for two minutes
                subprocess.run(["scontrol", "update", f"JobId={job.id}", "StartTime=now"], check=True)
        time.sleep(1.0)

    assert numbers(output) == numbers(tmp_path / "local" / "out")
    for key in (killed, requeued):
        assert len(read_record(output / key).attempts) == 2
        rows = [json.loads(row) for row in (output / key / "metrics.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows if row["event"] == "epoch"] == list(range(1, 61))
        assert [row["resumed"] for row in rows if row["event"] == "start"] == [False, True]
        assert [row["event"] for row in rows].count("result") == 1
        provenance = json.loads((output / key / "provenance.json").read_text())
        assert provenance["job"].startswith("slurm ")
        assert provenance["node"]
    assert "3 jobs: 3 done" in bench(tmp_path, "status", str(output)).stdout
    assert bench(tmp_path, *submit, "--json").returncode == 0
    assert not any(queued(output)), "nothing is missing"


def test_without_slurm_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KdzooError, match="no sbatch on this machine"):
        SubmititQueue("slurm", tmp_path, ClusterConfig())
