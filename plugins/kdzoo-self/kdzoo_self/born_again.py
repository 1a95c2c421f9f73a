"""Generations: Furlanello, Lipton, Tschannen, Itti and Anandkumar 2018."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import UNLABELLED, Algorithm, Batch, KdzooError, Phase, Run, Tune, softened_kl

Step = Callable[[Batch], Mapping[str, Tensor]]


class BornAgain(Algorithm):
    """Train the student, reinitialise it, and train it again with the trained one as the teacher; repeat.

    Each generation trains for all of the recipe's epochs. The last is the student; the earlier ones remain as
    the frozen roles ``generation1``, ``generation2``, ... All of them learn from the scheme's teacher, if
    any.

    Args:
        generations: number of generations; 1 is plain training.
        task_weight: weight of the task loss from the second generation on; it is 1 in the first.
        born_weight: weight of KL(previous generation || student), which is multiplied by temperature².
        temperature: divides both generations' logits.
        teach_weight: weight of the distillation loss, if the recipe has a knowledge.
    """

    name = "born-again"
    needs_loop = "has a phase for each generation"

    def __init__(
        self,
        generations: Annotated[int, Field(ge=1)] = 3,
        task_weight: NonNegativeFloat = 1.0,
        born_weight: NonNegativeFloat = 1.0,
        temperature: PositiveFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
    ) -> None:
        self.generations = generations
        self.task_weight = task_weight
        self.born_weight = born_weight
        self.temperature = temperature
        self.teach_weight = teach_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase for each generation."""
        if run.students != ("student",):
            raise KdzooError(
                f"algorithm 'born-again' trains one student, and scheme {run.recipe.scheme.name!r} has "
                f"{len(run.students)}: take a scheme with one, such as 'offline'"
            )
        for number in range(1, self.generations + 1):
            if number > 1:
                run.enroll(_name(number - 1), run.roles["student"], learns=False)
                run.enroll("student", run.build(_name(number), like="student"))
            yield Phase(_name(number), run.data.train, self._step(run, number), run.recipe.epochs)

    def measure(self, run: Run) -> Mapping[str, float]:
        """``test/ensemble``: the accuracy in percent of the mean of all generations' probabilities."""
        roles = ["student", *map(_name, range(1, self.generations))]
        modality = run.recipe.roles["student"].modality
        right = labelled = 0
        for batch in run.data.test:
            assert batch.target is not None
            answers = [run.roles[role](batch.inputs[modality]).logits.float() for role in roles]
            found = torch.stack(answers).softmax(dim=2).mean(dim=0).argmax(dim=1)
            right += int((found == batch.target).sum())
            labelled += int((batch.target != UNLABELLED).sum())
        return {"test/ensemble": 100 * right / max(labelled, 1)}

    def _step(self, run: Run, number: int) -> Step:
        def first(batch: Batch) -> Mapping[str, Tensor]:
            teach, task = run.teach(batch), run.task("student", batch)
            run.update(task + self.teach_weight * teach, "student", "knowledge")
            return {"task": task, "teach": teach}

        def again(batch: Batch) -> Mapping[str, Tensor]:
            teach, task = run.teach(batch), run.task("student", batch)
            before = run.see(_name(number - 1), batch).logits
            born = softened_kl(run.see("student", batch).logits, before, self.temperature, reduction="mean")
            total = self.task_weight * task + self.born_weight * born + self.teach_weight * teach
            run.update(total, "student", "knowledge")
            return {"task": task, "born": born, "teach": teach}

        return first if number == 1 else again


def _name(number: int) -> str:
    return f"generation{number}"
