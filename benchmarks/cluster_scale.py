"""What do thousands of jobs cost before the first one begins?

    python benchmarks/cluster_scale.py --write docs/benchmarks/cluster.md

Plans suites of a growing number of runs, submits them to a scheduler that only takes notes, and asks for their status
while a part is done, a part runs and the rest waits. No run is trained. Each size has a process of its own.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from kdzoo.bench.crew import Crew
from kdzoo.bench.executors.cluster import Cluster
from kdzoo.bench.executors.config import ClusterConfig
from kdzoo.bench.executors.plan_file import PLAN_FILE, listed
from kdzoo.bench.executors.queue import QueuedJob, of_suite, read_batches
from kdzoo.bench.executors.record import Attempt, Record, write_record
from kdzoo.bench.executors.settings import Settings
from kdzoo.bench.executors.status import status
from kdzoo.bench.plan import Entry
from kdzoo.bench.planner import Planner
from kdzoo.bench.progress import SuiteProgress
from kdzoo.bench.run import SuiteSession
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Suite
from kdzoo.zoo import Zoo

METHODS = (
    *("kd", "dkd", "nkd", "wsld", "dist", "lskd", "srrl", "rkd", "cc", "pkt", "fitnet", "at"),
    *("sp", "nst", "ab", "ft", "vid", "simkd", "reviewkd", "crd", "irg", "dml", "byot", "label-smoothing"),
)
SEEDS = 10
PER_PAIR = (len(METHODS) + 1) * SEEDS
"""Runs of one pair, the baseline's among them."""


class Notes:
    """A scheduler that takes notes: every job stays in its queue."""

    waits = False

    def __init__(self) -> None:
        self.queue: dict[str, QueuedJob] = {}
        self.arrays = 0
        self.longest = 0
        """The largest number of ids that an array waits for."""

    def submit(
        self, batch: str, jobs: Sequence[Sequence[str]], after: Sequence[str], parallel: int | None
    ) -> list[str]:
        """Note an array."""
        self.arrays += 1
        self.longest = max(self.longest, len(after))
        made = [QueuedJob(f"{self.arrays}_{index}", batch, index, False) for index in range(len(jobs))]
        self.queue |= {job.id: job for job in made}
        return [job.id for job in made]

    def submit_command(self, batch: str, command: Sequence[str], after: Sequence[str]) -> str:
        """Note the coordinator."""
        self.queue["last"] = QueuedJob("last", batch, 0, False)
        return "last"

    def jobs(self) -> list[QueuedJob]:
        """All that were not cancelled."""
        return list(self.queue.values())

    def cancel(self, ids: Sequence[str]) -> None:
        """Forget these."""
        for one in ids:
            self.queue.pop(one, None)


def measure(pairs: int, parallel: int | None) -> dict[str, Any]:
    """The figures for a suite of so many pairs."""
    zoo = Zoo()
    registry = load_registry(zoo)
    made = [
        {
            "name": f"t{number}>s",
            "teacher": {"model": "test_resnet", "epochs": number},
            "student": "test_vit",
        }
        for number in range(1, pairs + 1)
    ]
    suite = Suite.model_validate(
        {"pairs": made, "methods": METHODS, "seeds": list(range(SEEDS)), "epochs": 2}
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        config, queue, took = ClusterConfig(parallel=parallel), Notes(), {}
        settings = Settings(suite="scale", cluster="slurm", config=config, threads=1, since=time.time())
        planner = Planner("scale", suite, output=folder, zoo=zoo, registry=registry)
        planner.runs(Entry("baseline", "baseline", "t1>s"))  # opens the data
        before, began = memory(), time.process_time()
        executor = Cluster(folder, queue, settings, ["kdzoo"])
        session = SuiteSession(planner, registry.methods, Crew(1, (None,)), executor=executor)
        took["plan"] = time.process_time() - began
        began = time.process_time()
        session.run(SuiteProgress(Console(file=io.StringIO()), 1, quiet=True))
        took["submit"] = time.process_time() - began
        peak = memory() - before
        keys = [one.key for one in listed(folder)]
        pretend(folder, queue, keys)
        seconds = []
        for _ in range(3):
            began = time.process_time()
            found = status(folder, queue)
            seconds.append(time.process_time() - began)
        took["status"] = min(seconds)
        began = time.process_time()
        again = SuiteSession(planner, registry.methods, Crew(1, (None,)), executor=executor)
        again.run(SuiteProgress(Console(file=io.StringIO()), 1, quiet=True))
        took["again"] = time.process_time() - began
        assert sum(found.counts.values()) == len(keys)
        assert found.counts["failed"] == len(keys) // 100
        return {
            "jobs": len(keys),
            **took,
            "megabytes": peak,
            "arrays": queue.arrays,
            "plan_megabytes": (folder / PLAN_FILE).stat().st_size / 2**20,
            "counts": dict(found.counts),
        }


def pretend(folder: Path, queue: Notes, keys: Sequence[str]) -> None:
    """A half has ended, one in a hundred badly; a hundredth runs; the others wait."""
    jobs, _ = of_suite(queue, read_batches(folder))
    part = max(1, len(keys) // 100)
    attempt = Attempt(job="slurm 1", node="node", process=1, began=time.time(), position="")
    for number, key in enumerate(keys[: len(keys) // 2]):
        record = Record(attempts=(attempt,))
        if number < part:
            write_record(folder / key, record)
            job = jobs[key]
            queue.queue[job.id] = QueuedJob(job.id, job.batch, job.index, True, "node", "now", "later")
            continue
        failed = number < 2 * part
        write_record(
            folder / key, record.ended("failed" if failed else "done", "too bad" if failed else None)
        )
        queue.cancel([jobs[key].id])


def memory() -> float:
    """Peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pairs", type=int, nargs="+", default=[4, 12, 40], help="sizes, in pairs of 250 runs"
    )
    parser.add_argument("--jobs", type=int, help="limit of jobs at a time")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.one is not None:
        print(json.dumps(measure(flags.one, flags.jobs)))
        return
    rows = []
    for pairs in flags.pairs:
        limit = [] if flags.jobs is None else ["--jobs", str(flags.jobs)]
        command = [sys.executable, __file__, "--one", str(pairs), *limit]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    text = page(rows)
    print(text)
    if flags.write:
        flags.write.write_text(text)


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The table."""
    about = f"""A suite of {len(METHODS) + 1} methods with {SEEDS} seeds for each of a growing number of pairs,
    submitted to a scheduler that only takes notes: what kdzoo itself needs, without the time that `sbatch` takes for
    an array.
    *plan*: recipes, identities and order of all runs. *submit*: the plan's file, arrays of at most 1000 jobs, the
    ledger. *status*: `kdzoo bench status` while half of the jobs have ended, one in a hundred runs and the others
    wait.
    *again*: the same command once more, which submits what failed alone. *memory*: growth of the peak, over a process
    that has opened the data. Processor seconds, of one core; *status*: the best of three. Python
    {platform.python_version()}. Written by
    `python benchmarks/cluster_scale.py --write docs/benchmarks/cluster.md`."""
    each = [1000 * (row["plan"] + row["submit"]) / row["jobs"] for row in rows]
    cost = f"""Planning and submitting take {min(each):.1f} to {max(each):.1f} ms a job at these sizes: the cost
    grows as the number of jobs."""
    lines = [
        "# Thousands of jobs",
        "",
        *wrapped(about),
        "",
        "| jobs | plan s | submit s | arrays | status s | again s | memory MB | plan file MB |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['jobs']:,} | {row['plan']:.1f} | {row['submit']:.1f} | {row['arrays']} | {row['status']:.2f} | "
        f"{row['again']:.1f} | {row['megabytes']:.0f} | {row['plan_megabytes']:.1f} |"
        for row in rows
    ]
    return "\n".join([*lines, "", *wrapped(cost), ""])


def wrapped(text: str) -> list[str]:
    """A paragraph in lines."""
    return textwrap.wrap(" ".join(text.split()), 118, break_on_hyphens=False, break_long_words=False)


if __name__ == "__main__":
    main()
