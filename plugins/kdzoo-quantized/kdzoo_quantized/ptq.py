"""Post-training quantization: each block is optimised to reproduce the teacher's block."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from kdzoo.api import Algorithm, Backbone, Batch, KdzooError, OptimConfig, Phase, Run
from kdzoo_quantized.functional.rounding import annealed, indecision, reconstruction, share_up
from kdzoo_quantized.insert import calibrating
from kdzoo_quantized.network import QuantizedNetwork, describe, sizes
from kdzoo_quantized.rounding import learn_rounding
from kdzoo_quantized.student import Bits, Precision, check
from kdzoo_quantized.units import UnitOutput, inputs, roundings, units_of

ManyBits = Annotated[int, Field(ge=2, le=8)] | None
"""With one bit, there is no rounding up or down to learn."""

_ROWS = "ptq-distill/rows"


class PostTraining(Algorithm):
    """Quantizes a trained teacher block by block, on unlabelled images.

    The student is a copy of the teacher with quantizers. One block after the other, on the same few images,
    learns the rounding direction of each weight and the step sizes of its inputs, so that it reproduces the
    output of the teacher's block; the blocks before it are already quantized. Each block is trained for the
    recipe's epochs. Labels are not used, and BatchNorm keeps the teacher's statistics.

    Args:
        weight_bits: bits of each layer's weights; null keeps them in float.
        activation_bits: bits of each layer's input; null keeps it in float.
        first_last_bits: bits of both in the first and the last layer; null keeps these in float.
        per_channel: one weight step size per output channel; else one per layer.
        images: number of training images used, without their labels.
        rounding_lr: Adam's learning rate for the rounding; 0 rounds to nearest.
        step_lr: Adam's learning rate for the step sizes of the inputs; 0 keeps them as calibrated.
        rounding_weight: λ, weight of the regulariser that pushes each weight to up or down.
        warm_up: fraction of a block's steps without that term.
        teach_weight: weight of the distillation loss in the last block, in addition to the reconstruction.
    """

    name = "ptq-distill"
    needs_loop = "reconstructs the student unit by unit"
    reads_teacher = True

    def __init__(
        self,
        weight_bits: ManyBits = 4,
        activation_bits: Bits = 4,
        first_last_bits: ManyBits = 8,
        per_channel: bool = True,
        images: PositiveInt = 1024,
        rounding_lr: NonNegativeFloat = 1e-3,
        step_lr: NonNegativeFloat = 4e-5,
        rounding_weight: NonNegativeFloat = 0.01,
        warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        teach_weight: NonNegativeFloat = 0.0,
    ) -> None:
        self.precision = Precision(weight_bits, activation_bits, first_last_bits, per_channel)
        self.images = images
        self.rounding_lr = rounding_lr
        self.step_lr = step_lr
        self.rounding_weight = rounding_weight
        self.warm_up = warm_up
        self.teach_weight = teach_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase for each block, named after it."""
        student = self._prepare(run)
        units = units_of(student.backbone)
        if _ROWS not in run.state:
            run.state[_ROWS] = _rows(run, self.images)
        data = run.data.select(run.state[_ROWS])
        for unit in units:
            probe = UnitOutput(unit)
            module = student.backbone.model.get_submodule(unit)
            learners = self._enroll_learners(run, module)
            for part in roundings(module):
                part.learning = True

            def step(
                batch: Batch,
                probe: UnitOutput = probe,
                module: nn.Module = module,
                learners: tuple[str, ...] = learners,
                taught: bool = self.teach_weight > 0 and unit == units[-1],
            ) -> Mapping[str, Tensor]:
                for role in ("student", "teacher"):
                    run.tap(role, probes=(probe,))
                with calibrating(module) if batch.progress == 0 else nullcontext():
                    own = run.see("student", batch)
                target = run.see("teacher", batch).extras[probe]
                pairs = zip(own.extras[probe], target, strict=True)
                error = torch.stack([reconstruction(one, other) for one, other in pairs]).sum()
                undecided = torch.zeros((), device=run.device)
                beta = annealed(batch.progress, warm_up=self.warm_up)
                if beta is not None and roundings(module):
                    terms = [indecision(share_up(part.up), beta) for part in roundings(module)]
                    undecided = torch.stack(terms).sum()
                recorded = {"error": error, "undecided": undecided}
                total = error + self.rounding_weight * undecided
                if taught:
                    recorded["teach"] = run.teach(batch)
                    total = total + self.teach_weight * recorded["teach"]
                if learners:
                    run.update(total, *learners, *(["knowledge"] if taught else []))
                return recorded

            # Before the last block, validation of the student is meaningless.
            yield Phase(unit, data, step, run.recipe.epochs, validate=unit == units[-1])
            for part in roundings(module):
                part.learning = False

    def _enroll_learners(self, run: Run, unit: nn.Module) -> tuple[str, ...]:
        """Roles for the trained parts of a unit, in place of those of the previous unit."""
        learners: dict[str, tuple[Sequence[nn.Module], float]] = {
            "rounding": (roundings(unit), self.rounding_lr),
            "steps": (inputs(unit), self.step_lr),
        }
        learners = {role: (parts, lr) for role, (parts, lr) in learners.items() if lr}
        for role, (parts, lr) in learners.items():
            optim = OptimConfig(opt="adam", lr=lr, weight_decay=0, sched="none", warmup_epochs=0)
            run.enroll(role, nn.ModuleList(parts), student=False, train_mode=False, optim=optim)
        return tuple(learners)

    def _prepare(self, run: Run) -> QuantizedNetwork:
        """The student: a copy of the teacher with quantizers."""
        student, teacher = run.roles.get("student"), run.roles.get("teacher")
        if not isinstance(teacher, Backbone):
            raise KdzooError(f"algorithm {self.name!r} rounds a trained teacher: pass --teacher MODEL")
        check(run, self.name, self.precision, "scratch")
        assert isinstance(student, Backbone)
        weights = copy.deepcopy(teacher.state_dict())
        try:
            student.load_state_dict(weights)
        except RuntimeError:
            raise KdzooError(
                f"algorithm {self.name!r} rounds the teacher itself, and {student.name!r} cannot take the weights of "
                f"{teacher.name!r}: pass --student {teacher.name}"
            ) from None
        self.precision.insert(student)
        learn_rounding(student, per_channel=self.precision.per_channel)
        network = QuantizedNetwork(student)
        run.enroll("student", network, train_mode=False)
        return network

    def measure(self, run: Run) -> Mapping[str, float]:
        """``size/student_bytes`` and ``size/float_bytes``: the storage size of the weights."""
        return {f"size/{name}": value for name, value in sizes(run.roles["student"]).items()}

    def export(self, run: Run, folder: Path) -> str:
        """A description of the quantization, for the student's card."""
        return describe(run.roles["student"])


def _rows(run: Run, images: int) -> Tensor:
    """The first ``images`` of the shuffled training split."""
    rows: list[Tensor] = []
    for batch in run.data.train:
        rows.append(batch.index)
        if sum(len(one) for one in rows) >= images:
            break
    return torch.cat(rows)[:images]
