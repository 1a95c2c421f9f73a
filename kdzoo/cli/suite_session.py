"""A suite from the command line: its workers, messages and results; ``bench`` and ``reproduce`` share it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import typer

from kdzoo.bench.crew import Crew, available_gpus, crew, thread_limit
from kdzoo.bench.data import EMBEDDED, SuiteData
from kdzoo.bench.executors.executor import Executor
from kdzoo.bench.planner import Planner
from kdzoo.bench.progress import SuiteProgress
from kdzoo.bench.publish import publish
from kdzoo.bench.results import SuiteResults
from kdzoo.bench.run import SuiteSession
from kdzoo.cli.output import error_console
from kdzoo.cores import available_cores
from kdzoo.observers.console import Console
from kdzoo.recipe.layers import Layer
from kdzoo.registry.model import Registry, Suite
from kdzoo.stopping import Stop, Stopped
from kdzoo.zoo import Zoo


def command_line() -> str:
    """What was typed."""
    return shlex.join(["kdzoo", *sys.argv[1:]])


@dataclass(frozen=True)
class SuiteCommand:
    """A suite to run.

    Attributes:
        name: its name.
        suite: its content.
        output: its folder.
        zoo: provides the components.
        registry: provides the methods.
        layers: changes of the recipes.
        workers: runs at a time; None is one for each GPU, else for each core.
        quiet: print failures alone.
        labelled: refuse data whose test images have no labels.
        about_data: say what was found in them.
    """

    name: str
    suite: Suite
    output: Path
    zoo: Zoo
    registry: Registry
    layers: Sequence[Layer]
    workers: int | None
    quiet: bool
    labelled: bool = True
    about_data: bool = True

    def run(self) -> tuple[SuiteResults, Path]:
        """Do what is not finished, write the results; returns them and the path of the report.

        Raises:
            typer.Exit: it was stopped, after a line that says how it goes on.
            KdzooError: the suite cannot be planned or its folder written.
        """
        err, team = error_console(), self._crew()
        session = self.session(team)
        try:
            with Stop().listening():
                session.run(self.progress(team))
        except Stopped as error:
            err.print(
                f"kdzoo: {error}; the same command continues from here: {command_line()}",
                soft_wrap=True,
                markup=False,
            )
            raise typer.Exit(error.exit_code) from None
        return publish(session)

    def session(self, team: Crew, executor: Executor | None = None) -> SuiteSession:
        """The suite, planned.

        Args:
            team: the workers, or what stands for them.
            executor: does the tasks; default: the team's processes on this machine.

        Raises:
            KdzooError: the suite cannot be planned.
        """
        with closing(Console(error_console())) as shown:
            data = self._data(shown)
            planner, methods = self._planner(team, data), self.registry.methods
            session = SuiteSession(planner, methods, team, command=command_line(), executor=executor)
            data.release()
        return session

    def progress(self, team: Crew) -> SuiteProgress:
        """What is said while it runs."""
        return SuiteProgress(error_console(), len(team.devices), quiet=self.quiet)

    def teachers(self) -> Path:
        """Train the teachers alone; returns the path of their index.

        Raises:
            KdzooError: the suite trains none, or one cannot be trained.
        """
        from kdzoo.bench.teachers import train_teachers

        err, team = error_console(), self._crew()
        with closing(Console(err)) as shown:
            data = self._data(shown)
            planner = self._planner(team, data)

            def tell(line: str) -> None:
                if not self.quiet:
                    err.print(line, soft_wrap=True, markup=False)

            return train_teachers(planner, team, tell)

    def _crew(self) -> Crew:
        return crew(self.workers, available_cores(), available_gpus(), at_most=thread_limit())

    def _data(self, shown: Console) -> SuiteData:
        notify = (lambda event: None) if self.quiet or not self.about_data else shown.observe
        return SuiteData(notify, labelled=self.labelled)

    def _planner(self, team: Crew, data: SuiteData) -> Planner:
        layers = list(self.layers)
        if any(one.source == "--data-dir" for one in layers) and self.suite.data.dataset == EMBEDDED:
            # before --set, which may name another data set
            place = next(number for number, one in enumerate(layers) if one.source == "--data-dir") + 1
            layers.insert(place, Layer("--data-dir", {"data": {"dataset": "folder"}}))
        return Planner(
            self.name,
            self.suite,
            output=self.output,
            zoo=self.zoo,
            registry=self.registry,
            layers=layers,
            threads=team.threads,
            facts=data.facts,
        )
