"""A suite from the command line whose runs are jobs of a cluster."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from kdzoo.bench.crew import Crew
from kdzoo.bench.executors.cluster import Cluster, is_trained, patiently
from kdzoo.bench.executors.commands import Command, commands, script
from kdzoo.bench.executors.config import ClusterConfig
from kdzoo.bench.executors.plan_file import write_plan
from kdzoo.bench.executors.settings import Settings, has_settings, write_settings
from kdzoo.bench.executors.status import status
from kdzoo.bench.executors.submitit_queue import SubmititQueue
from kdzoo.bench.publish import publish
from kdzoo.bench.results import SuiteResults
from kdzoo.bench.run import SuiteSession
from kdzoo.cli.output import error_console, print_json
from kdzoo.cli.suite_session import SuiteCommand
from kdzoo.jobs.scheduled import scheduled_job
from kdzoo.stopping import Stop, Stopped

_PATIENCE = 600.0
"""Seconds for which the coordinator waits for a scheduler that is restarted, or for another one to end."""

_SECONDS_BETWEEN_LOOKS = 10.0


@dataclass(frozen=True)
class ClusterCommand:
    """A suite whose runs are jobs.

    Attributes:
        suite: the suite.
        cluster: which cluster.
        config: what the jobs ask for.
        per_job: runs that share a job.
        watch: whether to stay until all is done.
        retry: whether to submit runs again that have failed.
    """

    suite: SuiteCommand
    cluster: str
    config: ClusterConfig
    per_job: int = 1
    watch: bool = False
    retry: bool = True

    def run(self) -> tuple[SuiteResults, Path] | None:
        """Submit what is missing; the results once all is done, None while jobs are under way.

        Raises:
            typer.Exit: it was stopped while it watched.
            KdzooError: the suite cannot be planned, or the scheduler refuses.
        """
        session = self._submit(retry=self.retry)
        while self.watch and not session.schedule.over:
            try:
                with Stop().listening():
                    self._follow()
            except Stopped as error:
                said = f"kdzoo: {error}; the jobs go on: kdzoo bench status {shlex.quote(str(self.suite.output))}"
                error_console().print(said, soft_wrap=True, markup=False)
                raise typer.Exit(error.exit_code) from None
            session = self._submit(retry=False)
        return publish(session) if session.schedule.over else None

    def plan(self) -> Iterator[Command]:
        """The commands of the jobs that are not done; their plan is written."""
        session, folder = self.suite.session(self._crew()), self.suite.output
        session.prepare()
        if not has_settings(folder):  # those of jobs that are under way stay
            write_settings(folder, self._settings(None))
        schedule = session.schedule
        write_plan(folder, [*schedule.teachers, *schedule.known])
        teachers = (task for task in schedule.needed if not is_trained(task))
        return commands(folder, [*teachers, *schedule.waiting])

    def _submit(self, *, retry: bool) -> SuiteSession:
        suite, team = self.suite, self._crew()
        args = [one for one in sys.argv[1:] if one not in ("--watch", "--no-retry")]
        cluster = Cluster(
            suite.output,
            self._queue(),
            self._settings(self.cluster),
            [sys.executable, "-m", "kdzoo", *args, "--no-retry"],
            per_job=self.per_job,
            retry=retry,
        )
        session = suite.session(team, cluster)
        patiently(lambda: session.run(suite.progress(team)), _PATIENCE if scheduled_job() else 0.0)
        return session

    def _follow(self) -> None:
        """Say how far the jobs are whenever that changes, until none is in the queue."""
        queue, said = self._queue(), ""
        while True:
            now = status(self.suite.output, queue)
            line = ", ".join(f"{number} {state}" for state, number in now.counts.items() if number)
            if line != said and not self.suite.quiet:
                error_console().print(line, soft_wrap=True, markup=False)
            said = line
            if not (now.coordinators or now.counts["running"] or now.counts["waiting"]):
                return
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _queue(self) -> SubmititQueue:
        return SubmititQueue(self.cluster, self.suite.output, self.config, self.suite.name)

    def _settings(self, cluster: str | None) -> Settings:
        name, threads = self.suite.name, self._crew().threads
        return Settings(suite=name, cluster=cluster, config=self.config, threads=threads, since=time.time())

    def _crew(self) -> Crew:
        """What stands for the workers: the runs of the jobs that are done at a time."""
        threads = max(1, self.config.cpus // self.per_job)
        return Crew(threads, (None,) * (self.per_job * (self.config.parallel or 1)))


def print_plan(command: ClusterCommand, *, commands: bool, json: bool) -> None:
    """Print the jobs that are not done: as a script of shell, as JSON, or by their names."""
    found = list(command.plan())
    words = [one for one in sys.argv[1:] if one not in ("--commands", "--json")]
    words.remove("plan")
    last = shlex.join(["kdzoo", *words])
    if json:
        print_json({"jobs": [asdict(one) for one in found], "last": last})
        return
    for line in script(found, last) if commands else (f"{one.key}  {one.name}" for one in found):
        typer.echo(line)
