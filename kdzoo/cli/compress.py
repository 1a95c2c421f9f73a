"""``kdzoo compress``: from a folder of pictures to a small network in use."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kdzoo.cli.flags import FLAGS, REGISTRY
from kdzoo.cli.options import recipe_flags
from kdzoo.cli.output import console, error_console, print_json, print_line, print_paragraph
from kdzoo.recipe.layers import Layer

if TYPE_CHECKING:
    from kdzoo.bench.results import SuiteResults
    from kdzoo.cli.suite_session import SuiteCommand
    from kdzoo.compress.record import Record
    from kdzoo.compress.request import Request
    from kdzoo.compress.survey import Survey
    from kdzoo.registry.model import Registry, Suite
    from kdzoo.zoo import Zoo

_DATA = (
    "labels_file", "class_depth", "unlabelled", "allow_missing", "img_size", "val_fraction", "train_per_class",
    "test_per_class", "labels_per_class", "batch_size",
)  # fmt: skip


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, show_default=False, **more)


@recipe_flags([FLAGS[name] for name in _DATA])
def compress(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Pictures: class folders, splits with class folders, or pictures alone.", metavar="DIR"
        ),
    ],
    *,
    budget: Annotated[str, typer.Option(help="Time that all of it may take: 90s, 20m, 2h.")] = "1h",
    output: Annotated[
        Path | None, typer.Option(help="Folder of everything.", show_default="runs/compress/NAME OF DIR")
    ] = None,
    teacher: Annotated[str | None, _option("--teacher", help="A timm model (default: chosen here).")] = None,
    teacher_weights: Annotated[
        str | None, _option("--teacher-weights", help="pretrained, a file, or a folder.")
    ] = None,
    teacher_train: Annotated[
        Literal["head", "full"] | None,
        _option("--teacher-train", help="What of a pretrained one (default: by the number of pictures)."),
    ] = None,
    students: Annotated[
        str | None, _option("--students", help="timm models, separated by commas (default: chosen by size).")
    ] = None,
    methods: Annotated[
        str | None, _option("--methods", help="Names, separated by commas (default: those that suit).")
    ] = None,
    max_params: Annotated[
        str | None, _option("--max-params", help="Parameters of the student, such as 2M.")
    ] = None,
    max_latency: Annotated[
        float | None,
        _option("--max-latency-ms", help="For one picture, of the exported file on this machine."),
    ] = None,
    max_mb: Annotated[float | None, _option("--max-mb", help="Size of the exported file.")] = None,
    to: Annotated[
        Literal["onnx", "torchscript"] | None,
        _option("--to", help="Form of the exported file (default: onnx if it is installed)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time.", show_default="one per GPU, else per core")
    ] = None,
    layers: list[Layer],
    registry: Annotated[list[str] | None, REGISTRY] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """From a folder of pictures to a small network in use, and whether distillation is worth it on them.

    kdzoo compress DIR --budget 20m --max-params 2M

    The plan is shown first, with its time. Then a teacher, candidates by successive halving, a final on several seeds
    beside plain training, a verdict, and an exported file. Run it again to go on after an interruption.
    """
    began = time.monotonic()
    from pydantic import ValidationError

    from kdzoo.compress.footprint import usual_form
    from kdzoo.compress.request import Request, number_of, seconds_of
    from kdzoo.errors import Fault, KdzooError
    from kdzoo.files import absolute, folder_name
    from kdzoo.use.given import keys_of

    try:
        request = Request.model_validate(
            {
                "data": {"dataset": "folder", "data_dir": str(absolute(folder)), **keys_of(layers)},
                "budget": seconds_of(budget),
                "teacher": teacher,
                "teacher_weights": _place(teacher_weights),
                "teacher_train": teacher_train,
                "students": _names(students),
                "methods": _names(methods),
                "max_parameters": number_of(max_params, "--max-params") if max_params is not None else None,
                "max_latency_ms": max_latency,
                "max_mb": max_mb,
                "to": to or usual_form(),
            }
        )
    except ValidationError as error:
        raise KdzooError(str(Fault.first(error))) from None
    place = output or Path("runs") / "compress" / folder_name(absolute(folder).name)
    _Command(request, place, registry or [], workers, began, dry_run=dry_run, quiet=quiet, json=json).run()


@dataclass(frozen=True)
class _Command:
    """What was typed, checked."""

    request: Request
    output: Path
    registries: list[str]
    workers: int | None
    began: float
    dry_run: bool
    quiet: bool
    json: bool

    def run(self) -> None:
        from kdzoo.compress.record import check_same, read_record
        from kdzoo.compress.suites import with_longer
        from kdzoo.compress.survey import look
        from kdzoo.observers.console import Console
        from kdzoo.registry.load import load_registry
        from kdzoo.zoo import Zoo

        record = read_record(self.output)
        if record is not None:
            check_same(self.output, record, self.request)
        zoo = Zoo()
        registry = with_longer(load_registry(zoo, self.registries))
        with closing(Console(error_console())) as shown:
            survey = look(self.request.data, zoo, (lambda event: None) if self._silent else shown.observe)
        if record is None:
            record = self._planned(survey, registry, zoo)
        check_same(self.output, record, self.request, survey.data.content)
        found = list(survey.lines())
        if self.dry_run:
            self._show(found, record)
        else:
            self._go(survey, found, record, registry, zoo)

    @property
    def _silent(self) -> bool:
        return self.quiet or self.json

    def _tell(self, line: str) -> None:
        if not self._silent:
            error_console().print(line, soft_wrap=True, markup=False, highlight=False)

    def _planned(self, survey: Survey, registry: Registry, zoo: Zoo) -> Record:
        from kdzoo.bench.crew import available_gpus, crew, thread_limit
        from kdzoo.compress.prepare import make_plan
        from kdzoo.compress.record import Record
        from kdzoo.cores import available_cores
        from kdzoo.version import __version__

        gpus, limit = available_gpus(), thread_limit()
        team, alone = (crew(number, available_cores(), gpus, at_most=limit) for number in (self.workers, 1))
        plan = make_plan(self.request, survey, self.began, team, alone, zoo, registry, self._tell)
        return Record(
            kdzoo=__version__, request=self.request.plain(), pictures=survey.data.content, plan=plan
        )

    def _show(self, found: list[str], record: Record) -> None:
        if self.json:
            print_json({"pictures": found, "plan": record.plan.model_dump(mode="json")})
            return
        for line in (*found, *_plan(record)):
            print_paragraph(console(), line, hanging=2)

    def _go(self, survey: Survey, found: list[str], record: Record, registry: Registry, zoo: Zoo) -> None:
        from kdzoo.compress.run import Compression
        from kdzoo.compress.story import MARKDOWN, next_steps, write_story
        from kdzoo.errors import KdzooError
        from kdzoo.owner import Owner
        from kdzoo.stopping import Stop, Stopped

        for line in (*found, *_plan(record)):
            self._tell(line)
        place, out = self.output, console()
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise KdzooError(f"{place}: cannot write the output folder: {error.strerror or error}") from None
        runs = _Runs(zoo, registry, self.workers, self._silent, labelled=record.plan.labelled)
        with Owner(place).held() as note:
            if note:
                self._tell(note)
            work = Compression(
                self.request, survey, record, place, runs, registry, zoo, self._tell, self.began
            )
            try:
                with Stop().listening():
                    results = work.run()
            except Stopped as error:
                raise Stopped(error.number, "(the same command goes on from here)") from None
            page = write_story(place, work.record, found, shlex.join(["kdzoo", *sys.argv[1:]]))
        if self.json:
            print_json({**results, "folder": str(place), "seconds": work.spent})
            return
        print_line(out, "")
        for line in results["verdict"]:
            print_paragraph(out, line)
        print_line(out, f"student: {place / results['file']}, and {place / 'student'} for timm")
        print_line(out, f"report: {page} ({MARKDOWN} beside it)")
        for line in next_steps(place, work.record):
            print_line(out, f"next: {line}")


@dataclass(frozen=True)
class _Runs:
    """Runs suites as ``kdzoo bench`` does; see :class:`kdzoo.compress.run.Runs`."""

    zoo: Zoo
    registry: Registry
    workers: int | None
    quiet: bool
    labelled: bool

    def suite(self, name: str, suite: Suite, folder: Path) -> SuiteResults:
        results, _ = self._command(name, suite, folder, self.workers).run()
        return results

    def teacher(self, name: str, suite: Suite, folder: Path) -> None:
        self._command(name, suite, folder, 1).teachers()

    def _command(self, name: str, suite: Suite, folder: Path, workers: int | None) -> SuiteCommand:
        from kdzoo.cli.suite_session import SuiteCommand

        return SuiteCommand(
            name=name,
            suite=suite,
            output=folder,
            zoo=self.zoo,
            registry=self.registry,
            layers=(),
            workers=workers,
            quiet=self.quiet,
            labelled=self.labelled,
            about_data=False,  # it was said once
        )


def _plan(record: Record) -> list[str]:
    from kdzoo.bench.progress import duration

    spent = f"; {duration(record.spent)} are spent" if record.spent else ""
    budget = duration(record.request["budget"])
    return [*record.plan.lines(), f"in all about {duration(record.plan.seconds)} of {budget}{spent}"]


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _place(weights: str | None) -> str | None:
    """Weights in a file or a folder by their absolute path: the command may go on from elsewhere."""
    return str(Path(weights).absolute()) if weights is not None and Path(weights).exists() else weights
