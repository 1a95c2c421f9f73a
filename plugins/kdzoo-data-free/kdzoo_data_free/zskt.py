"""Images on which student and teacher disagree: zero-shot knowledge transfer, Micaelli and Storkey 2019."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from kdzoo.api import Batch, KdzooError, Run, pool_to_smaller
from kdzoo_data_free.functional.realism import adversarial_loss, attention_gap
from kdzoo_data_free.generative import Generative


class ZeroShot(Generative):
    """The generator maximises KL(teacher || student); the student minimises it and the gap of attention maps.

    Args:
        attention: weight of the distance of the attention maps, summed over the stages.
        stages: number of deepest stages whose attention maps are compared.
        student_steps: student steps after each generator step, all on the same new images.
        generator_lr: Adam's learning rate, with a cosine schedule.
        clip_grad: largest norm of the generator's gradient.

    """

    name = "zskt"
    fixed: ClassVar = {"sched": "cosine", "betas": (0.9, 0.999)}
    student_mode = "train"  # as in the authors' code, which never switches to eval mode

    def __init__(
        self,
        attention: NonNegativeFloat = 250.0,
        stages: Annotated[int, Field(ge=1)] = 4,
        student_steps: PositiveInt = 10,
        clip_grad: PositiveFloat = 5.0,
        **settings: Any,
    ) -> None:
        super().__init__(student_steps=student_steps, **settings)
        self.making = replace(self.making, clip_grad=clip_grad)
        self.attention = attention
        self.stages = tuple(range(-stages, 0))

    def prepare(self, run: Run) -> None:
        """Tap the stages."""
        if not self.attention:
            return
        for role in ("teacher", "student"):
            shown = getattr(run.roles[role], "num_stages", 0)
            if shown < len(self.stages):
                raise KdzooError(
                    f"algorithm 'zskt' compares the attention of {len(self.stages)} stages and the {role} shows "
                    f"{shown}: set algorithm.stages lower, or algorithm.attention to 0"
                )
            run.tap(role, *self.stages)

    def judge(self, run: Run, batch: Batch) -> Mapping[str, tuple[float, Tensor]]:
        """Minus KL(teacher || student): images on which the two disagree."""
        student, teacher = (run.see(role, batch).logits for role in ("student", "teacher"))
        return {"adversarial": (1.0, adversarial_loss(student, teacher).mean())}

    def lesson(self, run: Run, batch: Batch) -> Mapping[str, Tensor]:
        """The distillation loss and the gap of the attention maps."""
        losses = {"teach": run.teach(batch)}
        if self.attention:
            number = len(self.stages)
            student, teacher = (run.see(role, batch).features[-number:] for role in ("student", "teacher"))
            gaps = [
                attention_gap(*pool_to_smaller(one, other.detach())).mean()
                for one, other in zip(student, teacher, strict=True)
            ]
            losses["attention"] = self.attention * torch.stack(gaps).sum()
        return losses
