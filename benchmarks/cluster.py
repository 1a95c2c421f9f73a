"""Does a suite on a real Slurm end as on one machine, whatever happens to its jobs?

    .ci/slurm && python benchmarks/cluster.py --write docs/results/cluster.md

Runs a small suite on the embedded digits on this machine, and then on Slurm once for each thing that goes wrong
there. Compares every accuracy, and counts how often each run was begun, gone on with and finished. ``--only``
chooses; ``quick`` is the registry's whole suite of that name. Partition "short" must have a limit of one minute. As
root, since the controller is restarted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdzoo.bench.executors.queue import QueuedJob, of_suite, read_batches
from kdzoo.bench.executors.record import read_record
from kdzoo.bench.executors.settings import read_settings
from kdzoo.bench.executors.submitit_queue import SubmititQueue
from kdzoo.bench.ledger import read_ledger
from kdzoo.yaml_text import to_yaml

SMALL = {
    "summary": "Two entries and a tuned one.",
    "data": {"dataset": "digits", "train_per_class": 30, "val_fraction": 0.4, "batch_size": 64},
    "pairs": [{"teacher": {"model": "test_resnet", "epochs": 20}, "student": "test_efficientnet"}],
    "methods": ["kd"],
    "seeds": [0, 1],
    "epochs": 30,
    "tune": {"kd": [{"knowledge.temperature": 2.0}, {"knowledge.temperature": 8.0}]},
}
LONG = {**SMALL, "methods": [], "seeds": [0], "tune": {}, "epochs": 600}
"""One run of some minutes."""


@dataclass
class Trial:
    """A suite in a folder, on this machine or on Slurm."""

    place: Path
    suite: str
    config: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)
    """What the runs' jobs have and the coordinator has not."""

    @property
    def output(self) -> Path:
        """The suite's folder."""
        return self.place / "out"

    def command(self, *flags: str) -> subprocess.Popen[str]:
        """Start ``kdzoo bench`` with a cache of its own."""
        self.place.mkdir(parents=True, exist_ok=True)
        environment = {
            "KDZOO_CACHE": str(self.place / "cache"),
            "WANDB_MODE": "disabled",
            "OMP_NUM_THREADS": "1",
        }
        words = [
            sys.executable,
            "-m",
            "kdzoo",
            "bench",
            self.suite,
            "--output",
            str(self.output),
            *self.flags,
            *flags,
        ]
        return subprocess.Popen(
            words,
            env={**os.environ, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def submit(self) -> str:
        """The same command, until it returns; what it said."""
        said, _ = self.start().communicate()
        return said

    def start(self) -> subprocess.Popen[str]:
        """Begin to submit."""
        self.place.mkdir(parents=True, exist_ok=True)
        file = self.place / "slurm.yaml"
        small = {"time": 30, **self.config}
        file.write_text(to_yaml({**small, **self.limits, "coordinator": small}))
        return self.command("--cluster", "slurm", "--cluster-config", str(file))

    def jobs(self) -> tuple[dict[str, QueuedJob], list[QueuedJob]]:
        """Its jobs in the queue."""
        settings = read_settings(self.output)
        queue = SubmititQueue("slurm", self.output, settings.config, settings.suite)
        return of_suite(queue, read_batches(self.output))

    def running(self) -> QueuedJob:
        """Wait for a student that has trained for some epochs."""
        while True:
            for key, job in self.jobs()[0].items():
                journal = self.output / key / "metrics.jsonl"
                if key.startswith("jobs/") and job.running and journal.exists():
                    events = [json.loads(row)["event"] for row in journal.read_text().splitlines()]
                    if events.count("epoch") > 10 and "result" not in events:
                        return job
            time.sleep(0.5)

    def wait(self) -> None:
        """Until no job of it is in the queue; a requeued one begins at once, where Slurm would let it wait."""
        while any(found := self.jobs()):
            for job in found[0].values():
                if job.reason == "BeginTime":
                    # it may have begun meanwhile
                    subprocess.run(["scontrol", "update", f"JobId={job.id}", "StartTime=now"], check=False)
            time.sleep(2.0)

    def coordinating(self) -> QueuedJob:
        """Wait for a job that gives the command again."""
        while True:
            for job in self.jobs()[1]:
                if job.running:
                    return job
            time.sleep(0.2)

    def numbers(self) -> dict[str, Any]:
        """Every figure of the leaderboard that is no cost."""
        board = json.loads((self.output / "leaderboard.json").read_text())
        rows = [
            {key: row[key] for key in ("entry", "seeds", "last", "chosen", "difference", "columns")}
            for pair in board["pairs"]
            for row in pair["rows"]
        ]
        seen = [
            {key: pair[key] for key in ("pair", "teacher", "accuracies", "inflation")}
            for pair in board["pairs"]
        ]
        tuning = [
            {**one, "candidates": [dict(tried) for tried in one["candidates"]]} for one in board["tuning"]
        ]
        return {"rows": rows, "pairs": seen, "tuning": tuning, "failures": board["failures"]}

    def counts(self) -> dict[str, int]:
        """How often runs were begun, gone on with, finished, and how many epochs were done more than once."""
        ledger, tuning = read_ledger(self.output)
        keys = {run.folder for run in ledger.runs} | {
            one.folder for each in tuning for one in each.candidates
        }
        found = {"runs": len(keys), "attempts": 0, "resumed": 0, "results": 0, "again": 0}
        for key in keys:
            rows = [json.loads(row) for row in (self.output / key / "metrics.jsonl").read_text().splitlines()]
            epochs = [row["epoch"] for row in rows if row["event"] == "epoch"]
            found["attempts"] += max(1, len(read_record(self.output / key).attempts))
            found["resumed"] += sum(row["event"] == "start" and row["resumed"] for row in rows)
            found["results"] += sum(row["event"] == "result" for row in rows)
            found["again"] += len(epochs) - len(set(epochs))
        return found


def nothing(trial: Trial) -> str:
    trial.submit()
    return "nothing"


def killed(trial: Trial) -> str:
    trial.submit()
    run("scancel", "--signal=KILL", trial.running().id)
    return "`scancel --signal=KILL` of a run"


def requeued(trial: Trial) -> str:
    trial.submit()
    run("scontrol", "requeue", trial.running().id)
    return "`scontrol requeue` of a run"


def restarted(trial: Trial) -> str:
    trial.submit()
    trial.running()
    file = re.search(r"SlurmctldPidFile\s*=\s*(\S+)", run("scontrol", "show", "config"))
    assert file is not None
    os.kill(int(Path(file[1]).read_text()), signal.SIGTERM)
    time.sleep(10.0)
    run("slurmctld")
    while subprocess.run(["scontrol", "ping"], capture_output=True).returncode:
        time.sleep(1.0)
    return "slurmctld ended while a run went on, and started 10 seconds later"


def headless(trial: Trial) -> str:
    trial.submit()
    trial.running()
    run("scancel", *(job.id for job in trial.jobs()[1]))
    trial.wait()
    trial.submit()
    return "the coordinator cancelled; the same command when all jobs had ended"


def beheaded(trial: Trial) -> str:
    trial.submit()
    run("scancel", "--signal=KILL", "--full", trial.coordinating().id)
    trial.wait()
    trial.submit()
    return "the coordinator killed while it ran; the same command when all jobs had ended"


def halved(trial: Trial) -> str:
    process = trial.start()
    batches = trial.output / "cluster" / "batches"
    while not (batches.is_dir() and any(batches.iterdir())):
        time.sleep(0.01)
    time.sleep(0.3)
    process.kill()
    process.communicate()
    trial.submit()
    trial.submit()
    return "the command killed while it submitted; the same command twice"


def limited(trial: Trial) -> str:
    trial.limits = {"partition": "short", "time": 1, "warn": 15}
    trial.submit()
    return "a run of several minutes in partition `short`, whose limit is one"


SCENES: dict[str, Callable[[Trial], str]] = {
    "nothing": nothing,
    "killed": killed,
    "requeued": requeued,
    "restarted": restarted,
    "headless": headless,
    "beheaded": beheaded,
    "halved": halved,
    "limited": limited,
    "quick": nothing,
}


def run(*command: str) -> str:
    """What a command of Slurm says."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def scenes(names: Sequence[str], place: Path, seeds: str | None, partition: str | None) -> Iterator[str]:
    """A row of the table for each; ``seeds`` are those of ``quick``."""
    local: dict[str, dict[str, Any]] = {}
    for name in names:
        suite = (
            "quick" if name == "quick" else str(place / ("long.yaml" if name == "limited" else "small.yaml"))
        )
        flags = ("--seeds", seeds) if name == "quick" and seeds else ()
        if suite not in local:
            here = Trial(place / f"local-{Path(suite).stem}", suite, flags=flags)
            began = time.monotonic()
            said, _ = here.command("--quiet").communicate()
            print(said, f"local {Path(suite).stem}: {time.monotonic() - began:.0f} s", flush=True)
            local[suite] = here.numbers()
        config = {} if partition is None else {"partition": partition}
        trial = Trial(place / name, suite, config, flags)
        began = time.monotonic()
        what = SCENES[name](trial)
        trial.wait()
        seconds = time.monotonic() - began
        same = trial.numbers() == local[suite]
        counts = trial.counts()
        what = f"{what}: `{' '.join(('kdzoo bench quick', *flags))}`" if name == "quick" else what
        row = (
            f"| {what} | {counts['runs']} | {counts['attempts']} | {counts['resumed']} | {counts['results']} | "
            f"{counts['again']} | {'the same' if same else '**others**'} | {seconds:.0f} |"
        )
        print(row, flush=True)
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--place", type=Path, help="folder for the runs; default: a temporary one")
    parser.add_argument("--seeds", help="of the suite quick, such as 0,1; default: its own")
    parser.add_argument("--partition", help="where jobs go that are not to meet a limit")
    parser.add_argument("--write", type=Path)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = (flags.place or Path(temporary)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        (place / "small.yaml").write_text(to_yaml(SMALL))
        (place / "long.yaml").write_text(to_yaml(LONG))
        rows = list(scenes(flags.only, place, flags.seeds, flags.partition))
    text = page(rows, " ".join(["python benchmarks/cluster.py", *map(shlex.quote, sys.argv[1:])]))
    print(text)
    if flags.write:
        flags.write.write_text(text)


def page(rows: Sequence[str], command: str) -> str:
    """The table with what it says."""
    version = run("sinfo", "--version").strip()
    return "\n".join(
        [
            "# On a real Slurm",
            "",
            *wrapped(
                f"""{version} of one node with {os.cpu_count()} cores, Python {platform.python_version()}. A suite on
                the embedded digits (a teacher, two entries with two seeds, a tuned one with two candidates) is run by
                `kdzoo bench SUITE`, and by `kdzoo bench SUITE --cluster slurm` while something goes wrong."""
            ),
            "",
            *wrapped(
                """*Jobs*: attempts of jobs at the runs. *Went on*: attempts that went on from a checkpoint. *Ended*:
                results that were written, one for each run if none was run twice. *Epochs twice*: epochs that a
                journal has more than once. *Numbers*: every figure of `leaderboard.json` but times and memory,
                compared with the local run, to the last bit."""
            ),
            "",
            "| what was done | runs | jobs | went on | ended | epochs twice | numbers | seconds |",
            "|---|---:|---:|---:|---:|---:|---|---:|",
            *rows,
            "",
            *wrapped(
                f"""Slurm lets a requeued job wait for two minutes; here it is told to begin at once (`scontrol update
                StartTime=now`). Written by one call of `{command}`; `.ci/slurm` starts a Slurm."""
            ),
            "",
        ]
    )


def wrapped(text: str) -> list[str]:
    """A paragraph in lines."""
    return textwrap.wrap(" ".join(text.split()), 118, break_on_hyphens=False, break_long_words=False)


if __name__ == "__main__":
    main()
