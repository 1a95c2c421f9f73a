"""Self-study, co-study, tutoring: Kim, Bhalgat, Lee, Patel and Kwak 2019."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import UNLABELLED, Batch, KdzooError, Phase, Run, Tune, softened_kl
from kdzoo_quantized.quantizing import Quantizing
from kdzoo_quantized.student import Start, check, first_steps, quantize, split, take_teacher


class QuantizationAwareDistillation(Quantizing):
    """The quantized student learns alone, then together with the teacher, then from the resulting teacher.

    Self-study: only the task. Co-study: the student learns from the teacher, and the teacher learns its task
    and the student's softened predictions, so that it adapts to what a low-bit student can match. Tutor: the
    teacher is frozen again.

    Args:
        start: ``scratch`` quantizes the student as built, untrained unless it has a checkpoint; ``float``
            first trains it on the task in float; ``teacher`` gives it the teacher's weights.
        float_share: share of the phase ``float``, if there is one.
        self_share: share of the self-study in the recipe's epochs. Shares are relative to each other.
        co_share: share of the co-study.
        tutor_share: share of the tutoring.
        rate: learning rate of the quantized student, as a multiple of the recipe's.
        teacher_rate: the same for the teacher in the co-study.
        task_weight: weight of the student's task loss.
        teach_weight: weight of the distillation loss, in the co-study and the tutoring.
        teacher_task_weight: weight of the teacher's task loss in the co-study.
        back_weight: weight of KL(student || teacher) in the teacher's loss in the co-study; it is multiplied
            by temperature².
        temperature: temperature of that divergence.
    """

    name = "qkd"
    needs_loop = "has three phases or more"

    def __init__(
        self,
        start: Start = "float",
        float_share: PositiveFloat = 1.0,
        self_share: PositiveFloat = 1.0,
        co_share: PositiveFloat = 1.0,
        tutor_share: PositiveFloat = 1.0,
        rate: PositiveFloat = 1.0,
        teacher_rate: PositiveFloat = 1.0,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
        teacher_task_weight: NonNegativeFloat = 1.0,
        back_weight: NonNegativeFloat = 1.0,
        temperature: PositiveFloat = 4.0,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.start: Start = start
        self.shares = (*([float_share] if start == "float" else []), self_share, co_share, tutor_share)
        self.rate = rate
        self.teacher_rate = teacher_rate
        self.task_weight = task_weight
        self.teach_weight = teach_weight
        self.teacher_task_weight = teacher_task_weight
        self.back_weight = back_weight
        self.temperature = temperature

    def phases(self, run: Run) -> Iterator[Phase]:
        """``float`` with that start, then ``self-study``, ``co-study`` and ``tutor``."""
        check(run, self.name, self.precision, self.start)
        if "teacher" not in run.roles or "teacher" in run.students:
            raise KdzooError(
                "algorithm 'qkd' needs a trained teacher as the role 'teacher': pass --teacher MODEL with scheme "
                "'offline'"
            )
        *first, alone, together, tutored = split(run.recipe.epochs, self.shares)
        data = run.data.train

        def float_study(batch: Batch) -> Mapping[str, Tensor]:
            return self._study(run, batch, nullcontext())

        def self_study(batch: Batch) -> Mapping[str, Tensor]:
            return self._study(run, batch, first_steps(run, batch))

        def co_study(batch: Batch) -> Mapping[str, Tensor]:
            return self._together(run, batch)

        def tutor(batch: Batch) -> Mapping[str, Tensor]:
            teach = run.teach(batch)
            task = run.task("student", batch)
            run.update(self.task_weight * task + self.teach_weight * teach, "student", "knowledge")
            return {"task": task, "teach": teach}

        if first:
            yield Phase("float", data, float_study, first[0])
        elif self.start == "teacher":
            take_teacher(run, self.name)
        quantize(run, self.precision, self.rate)
        yield Phase("self-study", data, self_study, alone)
        teacher = run.roles["teacher"]
        optim = run.recipe.optim.model_copy(update={"lr": run.recipe.optim.lr * self.teacher_rate})
        run.enroll("teacher", teacher, optim=optim)
        yield Phase("co-study", data, co_study, together)
        run.enroll("teacher", teacher, learns=False)
        yield Phase("tutor", data, tutor, tutored)

    def _study(self, run: Run, batch: Batch, seen: AbstractContextManager[None]) -> Mapping[str, Tensor]:
        with seen:
            run.see("student", batch)
        task = run.task("student", batch)
        run.update(self.task_weight * task, "student")
        return {"task": task}

    def _together(self, run: Run, batch: Batch) -> Mapping[str, Tensor]:
        teach = run.teach(batch)
        task, teacher_task = run.task("student", batch), run.task("teacher", batch)
        student, teacher = (run.see(role, batch).logits for role in ("student", "teacher"))
        back = softened_kl(teacher, student.detach(), self.temperature, reduction="mean")
        total = self.task_weight * task + self.teach_weight * teach
        total = total + self.teacher_task_weight * teacher_task + self.back_weight * back
        run.update(total, "student", "teacher", "knowledge")
        return {"task": task, "teach": teach, "teacher": teacher_task, "back": back}

    def measure(self, run: Run) -> Mapping[str, float]:
        """The sizes as for ``qat``, and ``test/teacher``: the accuracy of the resulting teacher, in percent."""
        right = labelled = 0
        for batch in run.data.test:
            assert batch.target is not None
            found = run.see("teacher", batch).logits.argmax(dim=1)
            right += int((found == batch.target).sum())
            labelled += int((batch.target != UNLABELLED).sum())
        return {**super().measure(run), "test/teacher": 100 * right / max(labelled, 1)}
