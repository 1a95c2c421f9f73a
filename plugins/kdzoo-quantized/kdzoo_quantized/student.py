"""The quantized student of a run: its initial weights, and the insertion of quantizers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field

from kdzoo.api import Backbone, Batch, KdzooError, Run
from kdzoo_quantized.insert import calibrating, insert
from kdzoo_quantized.network import QuantizedNetwork

Bits = Annotated[int, Field(ge=1, le=8)] | None
"""Number of bits; None keeps float."""

Start = Literal["scratch", "float", "teacher"]
"""What is quantized: the student as built, the student after a phase in float, or the teacher's weights."""


@dataclass(frozen=True)
class Precision:
    """Bits and granularity of a network's quantization.

    Attributes:
        weight_bits: bits of the weights; None keeps them in float.
        activation_bits: bits of each layer's input; None keeps it in float.
        first_last_bits: bits of both in the first and the last layer; None keeps these in float.
        per_channel: one weight step size per output channel.

    """

    weight_bits: int | None
    activation_bits: int | None
    first_last_bits: int | None = None
    per_channel: bool = False

    def insert(self, backbone: Backbone) -> list[str]:
        """Insert quantizers into the backbone; returns the names of the layers."""
        return insert(
            backbone,
            self.weight_bits,
            self.activation_bits,
            first_last_bits=self.first_last_bits,
            per_channel=self.per_channel,
        )


def check(run: Run, algorithm: str, precision: Precision, start: Start) -> None:
    """Refuse a run that cannot work, before training; no network is changed.

    Raises:
        KdzooError: the scheme's student is not one timm network, it cannot be quantized, or it cannot take
            the teacher's weights.

    """
    others = [role for role in run.roles if role != "student" and not role.startswith("teacher")]
    student = run.roles.get("student")
    if others or not isinstance(student, Backbone):
        what = f"also has the role {others[0]!r}" if others else "changes it"
        raise KdzooError(
            f"algorithm {algorithm!r} rounds one timm network, the student, and scheme {run.recipe.scheme.name!r} "
            f"{what}: take scheme 'offline'"
        )
    if start == "teacher":
        _as_teacher(run, copy.deepcopy(student), algorithm)
    rehearsal = QuantizedNetwork(copy.deepcopy(student).eval())
    precision.insert(rehearsal.backbone)
    image = torch.zeros(1, student.channels, *student.input_size, device=run.device)
    with torch.no_grad(), calibrating(rehearsal):
        rehearsal(image)


def take_teacher(run: Run, algorithm: str) -> None:
    """Give the student the teacher's weights."""
    student = run.roles["student"]
    assert isinstance(student, Backbone)
    _as_teacher(run, student, algorithm)


def _as_teacher(run: Run, student: Backbone, algorithm: str) -> None:
    teacher = run.roles.get("teacher")
    if not isinstance(teacher, Backbone):
        raise KdzooError(
            f"algorithm {algorithm!r} with start=teacher needs a teacher in the recipe: pass --teacher MODEL"
        )
    try:
        student.load_state_dict(teacher.state_dict())
    except RuntimeError:
        raise KdzooError(
            f"algorithm {algorithm!r} with start=teacher gives the student the teacher's weights, and "
            f"{student.name!r} cannot take those of {teacher.name!r}: pass "
            f"--student {teacher.name}, or algorithm.start=float"
        ) from None


def quantize(run: Run, precision: Precision, rate: float) -> None:
    """Quantize the student, which is then trained with ``rate`` times the recipe's learning rate."""
    student = run.roles["student"]
    assert isinstance(student, Backbone)
    precision.insert(student)
    optim = run.recipe.optim.model_copy(update={"lr": run.recipe.optim.lr * rate})
    run.enroll("student", QuantizedNetwork(student), optim=optim)


def first_steps(run: Run, batch: Batch) -> AbstractContextManager[None]:
    """In the first step of a phase, calibrate the step sizes of activations on the batch.

    They are parameters, so a resumed run gets them from its checkpoint.
    """
    return calibrating(run.roles["student"]) if batch.progress == 0 else nullcontext()


def split(epochs: int, shares: Sequence[float]) -> list[int]:
    """Epochs of phases by their shares, each at least one; with few epochs the sum can be larger.

    Args:
        epochs: total number of epochs.
        shares: the share of each phase, >= 0 and not all zero.

    """
    total, before, ends = sum(shares), 0.0, [0]
    for share in shares:
        before += share
        ends.append(max(ends[-1] + 1, round(epochs * before / total)))
    return [end - start for start, end in pairwise(ends)]
