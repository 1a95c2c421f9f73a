"""A suite on a scheduler of this file, whose jobs are pretended: what is submitted, when, and how often."""

import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kdzoo.bench.crew import Crew, crew
from kdzoo.bench.executors.cluster import Cluster
from kdzoo.bench.executors.config import ClusterConfig
from kdzoo.bench.executors.plan_file import listed, read_tasks
from kdzoo.bench.executors.queue import QueuedJob, read_batches
from kdzoo.bench.executors.record import Record, read_record, write_record
from kdzoo.bench.executors.settings import Settings
from kdzoo.bench.executors.status import status
from kdzoo.bench.planner import Planner
from kdzoo.bench.progress import SuiteProgress
from kdzoo.bench.results import read_results
from kdzoo.bench.run import SuiteSession
from kdzoo.errors import KdzooError
from kdzoo.owner import NotOwner
from kdzoo.recipe.writing import dump
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Suite
from kdzoo.zoo import Zoo

SUITE: dict[str, Any] = {
    "pairs": [{"teacher": "test_resnet", "student": "test_efficientnet"}],
    "methods": ["kd"],
    "seeds": [0, 1],
    "epochs": 2,
    "tune": {"kd": [{"knowledge.temperature": 2.0}, {"knowledge.temperature": 3.0}]},
}


class Scheduler:
    """Begins the first job that waits for none, when it is told to."""

    waits = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue: dict[str, tuple[QueuedJob, list[str]]] = {}
        self.arrays: list[tuple[list[str], list[str], int | None]] = []
        self.coordinators = 0
        self.number = 0

    def submit(
        self, batch: str, jobs: Sequence[Sequence[str]], after: Sequence[str], parallel: int | None
    ) -> list[str]:
        self.number += 1
        ids = [f"{self.number}_{index}" for index in range(len(jobs))]
        self.arrays.append(([key for keys in jobs for key in keys], list(after), parallel))
        for index, job in enumerate(ids):
            self.queue[job] = (QueuedJob(job, batch, index, False, reason="Dependency"), list(after))
        return ids

    def submit_command(self, batch: str, command: Sequence[str], after: Sequence[str]) -> str:
        self.coordinators += 1
        job = f"next{self.coordinators}"
        self.queue[job] = (QueuedJob(job, batch, 0, False), list(after))
        return job

    def jobs(self) -> list[QueuedJob]:
        return [job for job, _ in self.queue.values()]

    def cancel(self, ids: Sequence[str]) -> None:
        for one in ids:
            del self.queue[one]

    def take(self) -> tuple[str, list[str]]:
        """The next job that may begin, and its keys; it has ended as far as the queue says."""
        for job, after in self.queue.values():
            if not set(after) & set(self.queue):
                del self.queue[job.id]
                batch = read_batches(self.folder)[job.batch]
                return job.id, list(batch.jobs[job.index]) if batch.jobs else []
        raise AssertionError("jobs wait for each other")


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo()


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import pretended

    return pretended


@pytest.fixture
def submit(zoo: Zoo, tmp_path: Path) -> Callable[..., SuiteSession]:
    def session(
        scheduler: Scheduler | None, *, retry: bool = True, parallel: int | None = None, **changes: Any
    ) -> SuiteSession:
        registry = load_registry(zoo)
        folder = tmp_path / "local" if scheduler is None else scheduler.folder
        planner = Planner(
            "mini", Suite.model_validate({**SUITE, **changes}), output=folder, zoo=zoo, registry=registry
        )
        config = ClusterConfig(parallel=parallel)
        settings = Settings(suite="mini", cluster="slurm", config=config, threads=1, since=1.0)
        executor = scheduler and Cluster(folder, scheduler, settings, ["again"], retry=retry)
        from pretended import pretend

        made = SuiteSession(planner, registry.methods, crew(1, 1), function=pretend, executor=executor)
        made.run(SuiteProgress(Console(file=io.StringIO()), 1))
        return made

    return session


@pytest.fixture
def scheduler(tmp_path: Path) -> Scheduler:
    return Scheduler(tmp_path / "suite")


def do(pretended: Any, folder: Path, keys: Sequence[str]) -> None:
    for task in read_tasks(folder, keys):
        write_record(task.folder, read_record(task.folder).begun(task))
        (pretended.pretend if task.teaches is None else pretended.train_teacher)(task)
        write_record(task.folder, read_record(task.folder).ended("done"))


def finish(pretended: Any, scheduler: Scheduler, submit: Callable[..., SuiteSession]) -> list[str]:
    """Let every job run until none is left; the keys in the order in which they were done."""
    done = []
    while scheduler.queue:
        _, keys = scheduler.take()
        if keys:
            do(pretended, scheduler.folder, keys)
        else:
            submit(scheduler, retry=False)
        done += keys
    return done


def test_the_end_is_that_of_the_local_pool_and_each_task_is_done_once(
    submit: Callable[..., SuiteSession], scheduler: Scheduler, pretended: Any
) -> None:
    session = submit(scheduler)
    assert not session.schedule.over
    first = [keys for keys, *_ in scheduler.arrays]
    assert [len(keys) for keys in first] == [3, 3, 1], (
        "teacher and baselines; runs that record; one that replays"
    )
    assert scheduler.arrays[1][1] == ["1_0"], "of the first array, the teacher alone"
    done = finish(pretended, scheduler, submit)
    assert len(done) == len(set(done)) == 1 + 2 + 2 + 2 + 2
    assert scheduler.coordinators == 2, "one after the trials, one after everything"
    local = submit(None)
    assert local.schedule.over
    rows = read_results(scheduler.folder).as_json()
    assert rows == read_results(local.folder).as_json()
    assert rows["pairs"][0]["rows"]
    assert rows["failures"] == []


def test_the_same_command_submits_only_what_is_missing(
    submit: Callable[..., SuiteSession], scheduler: Scheduler, pretended: Any
) -> None:
    submit(scheduler)
    submitted = scheduler.number
    submit(scheduler)
    assert scheduler.number == submitted
    assert [job.id for job in scheduler.jobs() if not read_batches(scheduler.folder)[job.batch].jobs] == [
        "next2"
    ]
    finish(pretended, scheduler, submit)
    submitted = scheduler.number
    assert submit(scheduler).schedule.over
    submit(scheduler, seeds=[0, 1, 2])
    new = [key for keys, *_ in scheduler.arrays[submitted:] for key in keys]
    assert len(new) == 3, "one more seed of three entries; the trials are known"


def test_a_limit_chains_the_arrays(submit: Callable[..., SuiteSession], scheduler: Scheduler) -> None:
    submit(scheduler, parallel=3)
    assert [(len(keys), after, parallel) for keys, after, parallel in scheduler.arrays] == [
        (3, [], 3),
        (3, ["1_0", "1_1", "1_2"], 3),
        (1, ["2_0", "2_1", "2_2"], 3),
    ]


def test_a_killed_job_goes_on_three_times_and_is_failed_then(
    submit: Callable[..., SuiteSession], scheduler: Scheduler, pretended: Any
) -> None:
    submit(scheduler, tune={})
    tries = 0
    while scheduler.queue:
        _, keys = scheduler.take()
        doomed = [key for key in keys if "kd-seed1" in key]
        for task in read_tasks(scheduler.folder, doomed):
            write_record(task.folder, read_record(task.folder).begun(task))  # and its job is killed
            tries += 1
        do(pretended, scheduler.folder, [key for key in keys if key not in doomed])
        if not keys:
            session = submit(scheduler, retry=False, tune={})
    assert tries == 3
    assert session.schedule.over
    (failure,) = read_results(scheduler.folder).ledger.failures
    assert failure.name == "kd seed 1"
    assert "ended 3 times without progress" in failure.error
    # somebody who gives the command again wants it tried again
    submit(scheduler, tune={})
    assert [[failure.folder], [], None] == [*map(list, scheduler.arrays[-1][:2]), None]
    finish(pretended, scheduler, lambda one, **more: submit(one, tune={}, **more))
    assert not read_results(scheduler.folder).ledger.failures


def test_jobs_that_never_begin_are_not_submitted_for_ever(
    submit: Callable[..., SuiteSession], scheduler: Scheduler
) -> None:
    submit(scheduler, tune={}, methods=[], seeds=[0])
    while scheduler.queue:
        _, keys = scheduler.take()
        if not keys:
            session = submit(scheduler, retry=False, tune={}, methods=[], seeds=[0])
    assert scheduler.number == 3
    assert session.schedule.over
    assert "ended 3 times before it began" in read_results(scheduler.folder).ledger.failures[0].error


def test_a_killed_session_leaves_nothing_that_is_submitted_twice(
    submit: Callable[..., SuiteSession], scheduler: Scheduler, pretended: Any
) -> None:
    class Killed(Scheduler):
        def submit_command(self, batch: str, command: Sequence[str], after: Sequence[str]) -> str:
            raise KeyboardInterrupt  # all arrays are submitted, and nobody has noted their ids

    killed = Killed(scheduler.folder)
    with pytest.raises(KeyboardInterrupt):
        submit(killed)
    scheduler.queue = killed.queue
    scheduler.number = killed.number
    submit(scheduler)
    assert scheduler.number == killed.number
    assert len(finish(pretended, scheduler, submit)) == 9


def test_status_counts_and_names(
    submit: Callable[..., SuiteSession], scheduler: Scheduler, pretended: Any
) -> None:
    submit(scheduler, tune={})
    _, keys = scheduler.take()
    do(pretended, scheduler.folder, keys)
    job, _ = next(iter(scheduler.queue.values()))
    scheduler.queue[job.id] = (QueuedJob(job.id, job.batch, job.index, True, "node7", "now", "later"), [])
    running = read_batches(scheduler.folder)[job.batch].jobs[job.index][0]
    (task,) = read_tasks(scheduler.folder, [running])
    write_record(task.folder, Record().begun(task))
    found = status(scheduler.folder, scheduler)
    assert found.counts == {"done": 1, "failed": 0, "running": 1, "waiting": 3, "missing": 0}
    (one,) = (one for one in found.tasks if one.state == "running")
    assert (one.key, one.until, one.attempts, one.epochs) == (running, "later", 1, 2)
    assert one.log == str(task.folder / "job.log")
    scheduler.queue.clear()
    found = status(scheduler.folder, scheduler)
    assert found.counts == {"done": 1, "failed": 0, "running": 0, "waiting": 0, "missing": 4}


def test_a_plan_is_read_as_it_was_written(submit: Callable[..., SuiteSession], scheduler: Scheduler) -> None:
    session = submit(scheduler, methods=["kd", "fitnet", "dml", "crd", "at", "label-smoothing"])
    tasks = [*session.schedule.teachers, *session.schedule.known]
    again = read_tasks(scheduler.folder, [task.key for task in tasks])
    for before, after in zip(tasks, again, strict=True):
        assert dump(after.recipe) == dump(before.recipe)
        assert after.recipe.data.model_fields_set == before.recipe.data.model_fields_set
        assert replace(after, recipe=before.recipe) == before
    assert [one.key for one in listed(scheduler.folder)] == [task.key for task in tasks]
    with pytest.raises(KdzooError, match="unknown job 'jobs/x'"):
        read_tasks(scheduler.folder, ["jobs/x"])
    plan = scheduler.folder / "plan.jsonl"
    plan.write_text(plan.read_text().replace('"epochs": 2', '"epochs": "many"'))
    with pytest.raises(KdzooError, match=r"plan\.jsonl: the line of .* is damaged: recipe.epochs"):
        read_tasks(scheduler.folder, [tasks[-1].key])


def test_a_folder_without_jobs_says_so(tmp_path: Path) -> None:
    with pytest.raises(KdzooError, match="no plan of jobs"):
        status(tmp_path, None)


def test_the_crew_stands_for_the_jobs() -> None:
    assert Crew(2, (None,)).environments[0]["OMP_NUM_THREADS"] == "2"


class Replaced(Scheduler):
    """As if the machine had slept while it asked, and another one had taken the suite over."""

    left: dict[str, bytes] | None = None

    def jobs(self) -> list[QueuedJob]:
        owner = self.folder / ".owner"
        told = json.loads(owner.read_text())
        owner.unlink()
        owner.write_text(json.dumps({**told, "token": "another", "host": "node7", "machine": "another"}))
        self.left = {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        time.sleep(1.0)
        return super().jobs()


def test_who_was_replaced_leaves_the_suite_alone(
    submit: Callable[..., SuiteSession], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDZOO_STALE_SECONDS", "0.6")
    scheduler = Replaced(tmp_path / "suite")
    with pytest.raises(NotOwner, match=r"on node7, since .* has taken it over"):
        submit(scheduler)
    assert not scheduler.queue
    now = {str(path): path.read_bytes() for path in scheduler.folder.rglob("*") if path.is_file()}
    assert now == scheduler.left
