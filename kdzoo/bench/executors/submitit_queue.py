"""Slurm through submitit; its executors for this machine take Slurm's place in tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdzoo.bench.executors.config import ClusterConfig, Resources
from kdzoo.bench.executors.job import Job
from kdzoo.bench.executors.queue import PLACE, QueuedJob
from kdzoo.errors import KdzooError

CLUSTERS = ("slurm", "local", "debug")

_NAME = "kdzoo-"
_NEVER = 10**6
"""Time limits that submitit lets a job meet. Whether it gets on is looked at here."""

_SIGNAL = "SUBMITIT_PREEMPT_SIGNAL"
"""Which signal Slurm sends before the time limit, and which one the job waits for."""

_QUEUE = ("squeue", "--noheader", "--array", "--me", "--format=%i|%j|%T|%N|%S|%e|%r")
_SECONDS = 60
_EXPLICIT = 32
"""Jobs of one array that a dependency names; where more are needed it names the array."""


class SubmititQueue:
    """Jobs of Slurm, or for tests of this machine: ``local`` in processes of their own, ``debug`` in this one.

    Args:
        cluster: one of :data:`CLUSTERS`.
        folder: of the suite, where every node sees it.
        config: what the jobs ask for.
        name: of the suite, a part of the jobs' names.

    Raises:
        KdzooError: submitit is not installed, or there is no Slurm here.
    """

    def __init__(self, cluster: str, folder: Path, config: ClusterConfig, name: str = "suite") -> None:
        self.waits = cluster != "slurm"
        self._submitit, self._cluster = _submitit(), cluster
        if not self.waits and not all(map(shutil.which, ("sbatch", "srun", "squeue"))):
            raise KdzooError("--cluster slurm: no sbatch on this machine; submit where Slurm's commands are")
        self._folder, self._config, self._name = folder.resolve(), config, name

    def submit(
        self, batch: str, jobs: Sequence[Sequence[str]], after: Sequence[str], parallel: int | None
    ) -> list[str]:
        """Submit one array; see :class:`~kdzoo.bench.executors.queue.JobQueue`."""
        executor = self._executor(batch, self._config, after, parallel or len(jobs))
        keys = [list(one) for one in jobs]
        with _asking(self._submitit, "sbatch"):
            step = min(parallel or len(keys), len(keys)) if self.waits else len(keys)
            made: list[Any] = []
            for begin in range(0, len(keys), step):
                some = keys[begin : begin + step]
                made += executor.map_array(Job(), [str(self._folder)] * len(some), some)
                for job in made if self.waits else ():
                    job.wait()
        return [str(job.job_id) for job in made]

    def submit_command(self, batch: str, command: Sequence[str], after: Sequence[str]) -> str:
        """Submit a job that runs a command; see :class:`~kdzoo.bench.executors.queue.JobQueue`."""
        executor = self._executor(batch, self._config.coordinator, after, 1, use_srun=False)
        with _asking(self._submitit, "sbatch"):
            job = executor.submit(self._submitit.helpers.CommandFunction(list(command)))
        return str(job.job_id)

    def jobs(self) -> list[QueuedJob]:
        """The user's jobs that wait or run."""
        return [] if self.waits else list(read_queue(_run(_QUEUE)))

    def cancel(self, ids: Sequence[str]) -> None:
        """End these jobs."""
        if ids and not self.waits:
            _run(["scancel", *ids])

    def _executor(
        self, batch: str, asked: Resources, after: Sequence[str], parallel: int, *, use_srun: bool = True
    ) -> Any:
        folder = self._folder / PLACE / "jobs"
        slurm = {"slurm_max_num_timeout": _NEVER} if self._cluster == "slurm" else {}
        local = {"local_max_num_timeout": _NEVER} if self._cluster == "local" else {}
        executor = self._submitit.AutoExecutor(folder, cluster=self._cluster, **slurm, **local)
        ids = ":".join(dependencies(after))
        executor.update_parameters(
            name=f"{_NAME}{self._name}-{batch}",
            timeout_min=asked.time,
            mem_gb=asked.memory,
            cpus_per_task=asked.cpus,
            gpus_per_node=asked.gpus or None,
            tasks_per_node=1,
            nodes=1,
            stderr_to_stdout=True,
            slurm_partition=asked.partition,
            slurm_account=asked.account,
            slurm_qos=asked.qos,
            slurm_constraint=asked.constraint,
            slurm_gres=asked.gres,
            slurm_setup=[*asked.setup, f"export {_SIGNAL}=USR1"],
            slurm_signal_delay_s=self._config.warn,
            slurm_array_parallelism=parallel,
            slurm_dependency=f"afterany:{ids}" if ids else None,
            slurm_use_srun=use_srun,
            slurm_additional_parameters={"requeue": True, **asked.sbatch},
        )
        return executor


def dependencies(ids: Sequence[str]) -> list[str]:
    """The ids for a dependency: jobs of an array by themselves if they are few, else the array."""
    arrays: dict[str, list[str]] = {}
    for one in dict.fromkeys(ids):
        arrays.setdefault(one.partition("_")[0], []).append(one)
    return [one for array, jobs in arrays.items() for one in (jobs if len(jobs) <= _EXPLICIT else [array])]


def read_queue(text: str) -> Iterator[QueuedJob]:
    """The jobs of a suite in what ``squeue`` writes; jobs that have ended are left out."""
    for line in text.splitlines():
        name, _, rest = line.partition("|")
        parts = rest.split("|")
        if len(parts) < 6 or not parts[0].startswith(_NAME):
            continue
        job, state, node, since, until, reason = parts[0], *parts[1:5], "|".join(parts[5:])
        running = state in ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING")
        if not running and state not in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESIZING"):
            continue
        index = name.partition("_")[2]
        known = {"N/A": "", "None": ""}
        yield QueuedJob(
            id=name,
            batch=job.rpartition("-")[2],
            index=int(index) if index.isdecimal() else 0,
            running=running,
            node=node if running else "",
            since=known.get(since, since) if running else "",
            until=known.get(until, until) if running else "",
            reason="" if running else known.get(reason, reason),
        )


def _submitit() -> Any:
    os.environ[_SIGNAL] = "USR1"  # read when it is imported
    try:
        import submitit
    except ImportError:
        raise KdzooError("--cluster needs submitit: pip install 'kdzoo[slurm]'") from None
    return submitit


@contextmanager
def _asking(submitit: Any, what: str) -> Iterator[None]:
    """Submit without the variables of a job that this process is in; refusals in one line."""
    try:
        with submitit.helpers.clean_env():
            yield
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        raise KdzooError(f"{what}: {' '.join(str(error).split()) or type(error).__name__}") from None


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KdzooError(
            f"{command[0]} does not answer: {error}; is this machine a part of the cluster?"
        ) from None
    if done.returncode:
        raise KdzooError(f"{command[0]} does not answer: {' '.join(done.stderr.split())}")
    return done.stdout
