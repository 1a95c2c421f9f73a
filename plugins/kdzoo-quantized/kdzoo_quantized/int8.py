"""Real int8: distillation in float, quantization-aware training, conversion."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from kdzoo.api import UNLABELLED, Algorithm, Backbone, Batch, KdzooError, Output, Phase, Run, Tune
from kdzoo_quantized.graph import First, Flat, export, plain_copy, traced
from kdzoo_quantized.latency import has_compiler, milliseconds
from kdzoo_quantized.pt2e import FakeQuantized, load_torchao

_FILE = "int8.pt2"
_BATCH_SIZES = (1, 32)

_CARD = """## In eight bits

`{file}` is this student in int8, {how}: a program for torch alone, from images in [0, 1] to logits.
Its second import makes the operators known that round; without it torch cannot read the file.{left}

| what | float | int8 |
|---|---|---|
{table}

{latency}```python
import torch
import torch.ao.quantization.fx._decomposed

model = torch.export.load("{folder}/{file}").module()
logits = model(torch.rand(1, {channels}, {height}, {width}))
```
"""


class Int8(Algorithm):
    """Distil a student in float, convert it to an int8 program, and measure both.

    The phase ``distill`` trains the float student. The phase ``qat`` trains a PT2E graph of it further, with
    folded batch norms and weights and activations rounded to eight bits, with the same losses and as the role
    ``student``; the graph is then converted. Without that phase, the ranges are calibrated on a few training
    batches (PTQ). The float student is exported and measured as ``test/last``; ``int8.pt2`` is next to it and
    measured as ``test/int8``.

    Args:
        qat_fraction: fraction of the recipe's epochs for the phase ``qat``, at least one; 0 is no such phase.
        qat_lr_scale: learning rate of that phase, as a multiple of the recipe's.
        calibration_batches: training batches for calibration, without the phase ``qat``.
        task_weight: weight of the task loss.
        teach_weight: weight of the distillation loss, summed over the scheme's lessons.
        latency_runs: number of forward passes for the median latency; 0 measures none.
        compile: measure the latency of both compiled by inductor, which needs a C++ compiler and about a
            minute. Only then does int8 use int8 instructions; else it is simulated and slower than float.

    Raises:
        KdzooError: torchao or, for ``compile``, a C++ compiler is missing.

    """

    name = "int8"
    needs_loop = "quantizes the student in a second phase"
    exempt: ClassVar = {
        "hyper-parameter:calibration_batches": "it is used with qat_fraction=0 only, for the int8 file only",
        "hyper-parameter:compile": "it changes only latencies, and needs a C++ compiler and a minute",
    }

    def __init__(
        self,
        qat_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.25,
        qat_lr_scale: PositiveFloat = 0.1,
        calibration_batches: PositiveInt = 8,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
        latency_runs: NonNegativeInt = 50,
        compile: bool = False,
    ) -> None:
        load_torchao()
        if compile and not has_compiler():
            raise KdzooError(
                "algorithm.compile needs a C++ compiler such as g++; install one, or set it to false"
            )
        self.qat_fraction = qat_fraction
        self.qat_lr_scale = qat_lr_scale
        self.calibration_batches = calibration_batches
        self.task_weight = task_weight
        self.teach_weight = teach_weight
        self.latency_runs = latency_runs
        self.compile = compile
        self._rounded: FakeQuantized | None = None
        self._program = b""
        self._left: tuple[str, ...] = ()
        self._figures: dict[str, float] = {}
        self._float_accuracy = 0.0

    def phases(self, run: Run) -> Iterator[Phase]:
        """``distill``, then ``qat``; both go over the training split."""
        student, epochs = run.roles["student"], run.recipe.epochs
        if not isinstance(student, Backbone):
            raise KdzooError(
                f"algorithm 'int8' quantizes one timm model, and scheme {run.recipe.scheme.name!r} makes a student "
                "of several parts: take another scheme"
            )
        later = max(1, round(self.qat_fraction * epochs)) if self.qat_fraction else 0
        if later >= epochs:
            raise KdzooError(
                "algorithm 'int8' has two phases and needs at least --epochs 2, or algorithm.qat_fraction=0"
            )
        shape = _image_shape(run)
        traced(student, shape)  # fail before training if the student cannot be exported

        def step(batch: Batch) -> Mapping[str, Tensor]:
            teach = run.teach(batch)
            task = torch.stack([run.task(role, batch) for role in run.students]).sum()
            run.update(self.task_weight * task + self.teach_weight * teach, *run.students, "knowledge")
            return {"task": task, "teach": teach}

        yield Phase("distill", run.data.train, step, epochs - later)
        if not later:
            return
        run.enroll("float", student, learns=False)  # so that checkpoints of the next phase hold it
        self._rounded = FakeQuantized(student, shape, learns=True)
        optim = run.recipe.optim
        run.enroll(
            "student",
            self._rounded,
            optim=optim.model_copy(update={"lr": optim.lr * self.qat_lr_scale}),
        )

        def validate() -> Mapping[str, float]:
            assert self._rounded is not None
            if run.data.val is None:
                return {}
            return {"val/int8": accuracy(self._rounded_logits, run.data.val, _modality(run))}

        # The student's figures are those of the float student, which is not trained any more.
        yield Phase("qat", run.data.train, step, later, after_epoch=validate, validate=False)
        run.enroll("student", student)

    def measure(self, run: Run) -> Mapping[str, float]:
        """Accuracy, bytes and milliseconds of the int8 program and of the float student."""
        student = run.roles["student"]
        assert isinstance(student, Backbone)
        shape, modality = _image_shape(run), _modality(run)
        rounded = self._rounded
        if rounded is None:
            rounded = FakeQuantized(student, shape, learns=False)
            for batch in islice(run.data.train, self.calibration_batches):
                rounded(batch.inputs[modality].cpu())
        self._left = rounded.left_in_float
        program, float_program = rounded.int8(), export(First(Flat(plain_copy(student))), shape)
        self._program = _bytes(program)
        networks = {"int8": program.module(), "float": float_program.module()}
        figures = {
            "test/int8": accuracy(lambda image: networks["int8"](image.cpu()), run.data.test, modality),
            "size/int8_bytes": float(len(self._program)),
            "size/float_bytes": float(len(_bytes(float_program))),
            "size/int8_weight_bytes": _weight_bytes(program),
            "size/float_weight_bytes": _weight_bytes(float_program),
        }
        if self.latency_runs:
            taken = milliseconds(networks, shape, _BATCH_SIZES, runs=self.latency_runs, compiled=self.compile)
            for (name, size), value in taken.items():
                figures[_latency(name, size)] = value
            figures["latency/compiled"] = float(self.compile)
        self._figures = figures
        self._float_accuracy = accuracy(lambda image: student(image).logits, run.data.test, modality)
        return figures

    def export(self, run: Run, folder: Path) -> str:
        """``int8.pt2``, and a table of both networks for the card."""
        (folder / _FILE).write_bytes(self._program)
        figures = self._figures
        rows = [
            ("test accuracy, %", self._float_accuracy, figures["test/int8"]),
            ("weights, bytes", figures["size/float_weight_bytes"], figures["size/int8_weight_bytes"]),
            ("as a torch.export program, bytes", figures["size/float_bytes"], figures["size/int8_bytes"]),
        ]
        for size in _BATCH_SIZES if self.latency_runs else ():
            label = f"milliseconds for {size} image{'s' if size > 1 else ''}"
            rows.append((label, figures[_latency("float", size)], figures[_latency("int8", size)]))
        table = "\n".join(f"| {what} | {_number(one)} | {_number(two)} |" for what, one, two in rows)
        left = f" In float stays what torchao does not round: {', '.join(self._left)}." if self._left else ""
        how = "rounded while it learned (QAT)" if self._rounded else "calibrated after training (PTQ)"
        channels, height, width = _image_shape(run)
        return _CARD.format(
            file=_FILE, folder="student", left=left, how=how, table=table, latency=self._how_measured(),
            channels=channels, height=height, width=width,
        )  # fmt: skip

    def _how_measured(self) -> str:
        if not self.latency_runs:
            return ""
        form = (
            "both compiled by inductor with freezing, so that int8 runs on the processor's int8 instructions"
            if self.compile
            else "both eager, so that int8 is simulated in float and slower than float; "
            "algorithm.compile=true measures what int8 is good for"
        )
        return f"The time is the median of {self.latency_runs} runs on one thread of the CPU, {form}.\n\n"

    def _rounded_logits(self, image: Tensor) -> Tensor:
        assert self._rounded is not None
        answer: Output = self._rounded(image)
        return answer.logits


def accuracy(logits: Callable[[Tensor], Tensor], split: Iterable[Batch], modality: str = "image") -> float:
    """Top-1 accuracy in percent over the labelled images of ``split``.

    Args:
        logits: (B, C, H, W) images to (B, K), on any device.
        split: batches of the split.
        modality: the input that is used.

    """
    right = seen = 0
    for batch in split:
        assert batch.target is not None
        labelled = batch.target != UNLABELLED
        found = logits(batch.inputs[modality]).argmax(dim=1).to(batch.target.device)
        right += int(((found == batch.target) & labelled).sum())
        seen += int(labelled.sum())
    return 100.0 * right / max(seen, 1)


def _image_shape(run: Run) -> tuple[int, int, int]:
    return run.data.channels[_modality(run)], run.data.img_size, run.data.img_size


def _modality(run: Run) -> str:
    return run.recipe.roles["student"].modality


def _bytes(program: torch.export.ExportedProgram) -> bytes:
    written = io.BytesIO()
    torch.export.save(program, written)
    return written.getvalue()


def _weight_bytes(program: torch.export.ExportedProgram) -> float:
    constants = [one for one in program.constants.values() if isinstance(one, Tensor)]
    return float(sum(one.numel() * one.element_size() for one in (*program.state_dict.values(), *constants)))


def _latency(name: str, size: int) -> str:
    return f"latency/{name}_ms" + ("" if size == 1 else f"/batch{size}")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
