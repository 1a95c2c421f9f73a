"""The base of all searches: budget, record of the candidates, and training of the found student."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from kdzoo.api import Algorithm, Backbone, Batch, KdzooError, Phase, Run, Tune
from kdzoo_nas.budget import Budget, budget
from kdzoo_nas.hints import Factors, Kernels, Most
from kdzoo_nas.space import Architecture, from_plain
from kdzoo_nas.supernet import Builder
from kdzoo_nas.trace import Trace

_STATE = "architecture-search"


class Search(Algorithm):
    """Find an architecture within a budget, then train it as ``distill`` does.

    Args:
        widths: factors of the student model's stage widths.
        depths: factors of its stage depths, rounded up.
        kernels: kernel sizes, for families with a choice.
        max_params: bound; up to 1 a fraction of the largest architecture's parameters, above that their number.
        max_latency: bound in milliseconds for one image, measured.
        task_weight: weight of the task loss in the training of the found student.
        teach_weight: weight of the distillation loss in that training.

    """

    needs_loop = "searches the student's architecture first"
    reads_teacher = True
    fraction = 0.0
    """Fraction of the recipe's epochs for training before the search; 0 is none."""

    def __init__(
        self,
        widths: Factors = (0.5, 0.75, 1.0),
        depths: Factors = (0.5, 1.0, 1.5),
        kernels: Kernels = (3, 5, 7),
        max_params: Most = 0.5,
        max_latency: Most = None,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
    ) -> None:
        self.widths, self.depths, self.kernels = widths, depths, kernels
        self.max_params, self.max_latency = max_params, max_latency
        self.task_weight, self.teach_weight = task_weight, teach_weight

    @abstractmethod
    def look(self, run: Run, builder: Builder, epochs: int) -> Iterator[Phase]:
        """The phases before the search, with ``epochs`` in total."""

    @abstractmethod
    def find(self, run: Run, builder: Builder, bounds: Budget) -> Trace:
        """Find the architecture, after those phases."""

    def begin(self, run: Run, builder: Builder, found: Architecture, student: Backbone) -> None:
        """Called before the found student is trained: copy initial weights to it, if the search has some."""

    def phases(self, run: Run) -> Iterator[Phase]:
        """The search's own phases, then ``retrain``."""
        if run.students != ("student",) or not isinstance(run.roles["student"], Backbone):
            raise KdzooError(
                f"algorithm {self.name!r} looks for one timm student, and scheme {run.recipe.scheme.name!r} has "
                f"{' and '.join(run.students)}: take a scheme with one, such as 'offline'"
            )
        epochs = run.recipe.epochs
        if self.fraction and epochs < 2:
            raise KdzooError(f"algorithm {self.name!r} searches, then trains, and needs at least --epochs 2")
        first = min(max(1, round(self.fraction * epochs)), epochs - 1) if self.fraction else 0
        builder = Builder(run, self.widths, self.depths, self.kernels)
        if _STATE not in run.state:
            bounds = budget(builder, self.max_params, self.max_latency, run.device)
        yield from self.look(run, builder, first)
        if _STATE not in run.state:  # else it was found before a resume, and its weights are not restored yet
            trace = _agreed(self.find(run, builder, bounds).dump())
            call = {"model": builder.name, "kwargs": builder.arguments(from_plain(trace["found"]))}
            run.state[_STATE] = {"trace": trace, **call}
            _write(run.state[_STATE], run.folder / "search")
            run.picture("architecture-search", Trace.load(trace).figure())
        found = from_plain(run.state[_STATE]["trace"]["found"])
        student = builder.build("student", found)
        run.enroll("student", student)
        self.begin(run, builder, found, student)

        def step(batch: Batch) -> Mapping[str, Tensor]:
            teach, task = run.teach(batch), run.task("student", batch)
            run.update(self.task_weight * task + self.teach_weight * teach, "student", "knowledge")
            return {"task": task, "teach": teach}

        yield Phase("retrain", run.data.train, step, epochs - first)

    def measure(self, run: Run) -> Mapping[str, float]:
        """``search/candidates``, the number of scored candidates, and ``search/cost``, the cost of the found one."""
        trace = Trace.load(run.state[_STATE]["trace"])
        cost = trace.costs[trace.candidates.index(trace.found)]
        return {"search/candidates": len(trace.candidates), "search/cost": cost}

    def export(self, run: Run, folder: Path) -> str:
        """``architecture.json`` and ``search.json`` next to the student; for its card, the call that builds it."""
        saved = run.state[_STATE]
        _write(saved, folder)
        data = {"num_classes": len(run.data.classes), "in_chans": run.data.channels[_modality(run)]}
        arguments = "".join(f",\n    {key}={value!r}" for key, value in {**saved["kwargs"], **data}.items())
        return (
            f"## The architecture\n\nFound by `{self.name}` among {len(saved['trace']['candidates'])} candidates; "
            "`search.json` has them all, `architecture.json` the one that was found. Untrained it is\n\n"
            f'```python\nimport timm\n\nmodel = timm.create_model(\n    "{saved["model"]}"{arguments},\n)\n```'
        )


def search_images(run: Run, batches: int) -> list[Batch]:
    """Batches for scoring candidates, labelled or not, always the same in a run.

    From the validation split if there is one, else from the training split's first epoch, without mixup or CutMix.
    """
    if run.data.val is not None:
        return list(islice(run.data.val, batches))
    seen = training_images(run, batches)
    mixed = any(batch.target is not None and batch.target.is_floating_point() for batch in seen)
    return [run.data.fetch(batch.index) for batch in seen] if mixed else seen


def training_images(run: Run, batches: int) -> list[Batch]:
    """The first batches of the training split's first epoch."""
    set_epoch = getattr(run.data.train, "set_epoch", None)
    if set_epoch is not None:
        set_epoch(0, 0)
    return list(islice(run.data.train, batches))


def image_of(run: Run, batch: Batch) -> Tensor:
    """The student's input."""
    return batch.inputs[_modality(run)]


def need_teacher(run: Run, name: str) -> Backbone:
    """The teacher, a timm model.

    Raises:
        KdzooError: the scheme has none.

    """
    teacher = run.roles.get("teacher")
    if not isinstance(teacher, Backbone):
        raise KdzooError(
            f"algorithm {name!r} compares students with a teacher that is a timm model: pass --teacher MODEL"
        )
    return teacher


def _modality(run: Run) -> str:
    return run.recipe.roles["student"].modality


def _write(saved: dict[str, Any], folder: Path) -> None:
    """Write ``architecture.json`` and ``search.json``, in the first process only."""
    if (
        torch.distributed.is_available()
        and torch.distributed.is_initialized()
        and torch.distributed.get_rank()
    ):
        return
    Trace.load(saved["trace"]).write(folder / "search.json")
    call = {"model": saved["model"], "kwargs": saved["kwargs"]}
    try:
        (folder / "architecture.json").write_text(json.dumps(call, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise KdzooError(f"{folder}: cannot write the architecture: {error.strerror or error}") from None


def _agreed(saved: dict[str, Any]) -> dict[str, Any]:
    """The result of the first process: each saw other images, and all must train the same network."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        shared = [saved]
        torch.distributed.broadcast_object_list(shared)
        return shared[0]
    return saved
