"""Adversarial training with labels and with a teacher: Madry 2018, Goldblum 2020, Zi 2021."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from kdzoo.api import UNLABELLED, Algorithm, Assembled, Backbone, Batch, KdzooError, Phase, Run, Tune
from kdzoo_adversarial.functional.attack import Start, pgd, start_at
from kdzoo_adversarial.functional.robust import label_ascent, teacher_ascent
from kdzoo_adversarial.robustness import (
    STEPS,
    Answer,
    require_autoattack,
    spread_out,
    under_autoattack,
    under_pgd,
)


@dataclass(frozen=True)
class SeenTwice:
    """A stream whose batches have one input under a second name too.

    The core needs it when it resumes a run: it then passes batches of the stream to the networks.
    """

    data: Any
    read: str
    seen: str

    def __len__(self) -> int:
        return len(self.data)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """As for the stream."""
        self.data.set_epoch(epoch, start)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.data:
            yield replace(batch, inputs={**batch.inputs, self.seen: batch.inputs[self.read]})


class RobustTraining(Algorithm):
    """Attack each batch, then train the student on clean and attacked images; the teacher gets the clean one.

    Trained networks get the attacked image x', frozen networks of the same modality the clean image x.

    Args:
        task_weight: weight of the task loss on x.
        attacked_task_weight: weight of the task loss on x'.
        teach_weight: weight of the distillation loss between student(x) and teacher(x).
        attacked_teach_weight: weight of the distillation loss between student(x') and teacher(x).
        epsilon: largest change of a pixel in [0, 1].
        step_size: change of a pixel per step of the attack in training.
        steps: number of steps of the attack in training.
        start: start of the attack: ``uniform`` in the ball, ``near`` the image, or the image (``none``).
        objective: what the attack maximises: the cross-entropy with the ``label``, or the divergence of the
            student's prediction from the ``teacher``'s.
        attack_mode: the student's mode during the attack.
        val_images: number of validation images attacked after each epoch; 0 is none.
        final_attack: ``autoattack`` adds ``test/autoattack`` to the result; PGD-20 is always measured.
    """

    name = "robust-training"
    needs_loop = "attacks the student to make the images of each step"
    measured_steps = STEPS
    """Steps of the attack in the evaluation."""

    def __init__(
        self,
        task_weight: NonNegativeFloat = 0.0,
        attacked_task_weight: NonNegativeFloat = 0.0,
        teach_weight: NonNegativeFloat = 0.0,
        attacked_teach_weight: NonNegativeFloat = 1.0,
        epsilon: Annotated[float, Field(gt=0, le=1), Tune(fixed=True)] = 8 / 255,
        step_size: PositiveFloat = 2 / 255,
        steps: NonNegativeInt = 10,
        start: Start = "uniform",
        objective: Literal["label", "teacher"] = "label",
        attack_mode: Literal["train", "eval"] = "train",
        val_images: NonNegativeInt = 256,
        final_attack: Literal["pgd-20", "autoattack"] = "pgd-20",
    ) -> None:
        self.task_weight = task_weight
        self.attacked_task_weight = attacked_task_weight
        self.teach_weight = teach_weight
        self.attacked_teach_weight = attacked_teach_weight
        self.epsilon = epsilon
        self.step_size = step_size
        self.steps = steps
        self.start: Start = start
        self.objective = objective
        self.attack_mode = attack_mode
        self.val_images = val_images
        self.final_attack = final_attack
        self._figures: Mapping[str, float] = {}

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        self._check(run)
        read = _modality(run)
        seen = f"{read} (clean)"  # no modality of a recipe can have this name
        frozen = [
            role for role, module in run.roles.items() if _frozen(module) and _modality(run, role) == read
        ]
        for role in frozen:
            run.enroll(role, run.roles[role], learns=False, modality=seen)

        def step(clean: Batch) -> Mapping[str, Tensor]:
            attacked = replace(clean, inputs={**clean.inputs, read: self._attack(run, clean, read)})
            terms = {
                "attacked-teach": (self.attacked_teach_weight, partial(run.teach, attacked)),
                "teach": (self.teach_weight, partial(run.teach, clean)),
                "attacked-task": (self.attacked_task_weight, partial(_task, run, attacked)),
                "task": (self.task_weight, partial(_task, run, clean)),
            }
            recorded = {name: term() for name, (weight, term) in terms.items() if weight}
            total = torch.stack([terms[name][0] * value for name, value in recorded.items()]).sum()
            run.update(total, *run.students, "knowledge")
            return recorded

        data = SeenTwice(run.data.train, read, seen)
        yield Phase("robust", data, step, run.recipe.epochs, after_epoch=self._validator(run))
        for role in frozen:
            run.enroll(role, run.roles[role], learns=False, modality=read)

    def measure(self, run: Run) -> Mapping[str, float]:
        """``test/robust``: accuracy under PGD-20, also of the teacher; ``test/autoattack`` on request."""
        read, seed = _modality(run), run.recipe.seed
        figures = {}
        for role in _measured(run):
            name = "test/robust" if role == "student" else f"test/robust/{role}"
            figures[name] = under_pgd(
                _answer(run, role), run.data.test, read, self.epsilon, seed, self.measured_steps
            )
        if self.final_attack == "autoattack":
            figures["test/autoattack"] = under_autoattack(
                _answer(run, "student"), run.data.test, read, self.epsilon, seed
            )
        self._figures = figures
        return figures

    def export(self, run: Run, folder: Path) -> str:
        """No files; the meaning of the figures, for the card."""
        named = {
            "test/robust": f"PGD-{self.measured_steps}, steps of a quarter",
            "test/robust/teacher": "the same, of the teacher",
            "test/autoattack": "AutoAttack, standard",
        }
        rows = [f"| {named[name]} | {value:.2f} % |" for name, value in self._figures.items()]
        return (
            f"## Under attack\n\nTest accuracy where every pixel may be moved by {255 * self.epsilon:g}/255, by an "
            "attacker who knows the weights and the labels. A figure is an upper bound: a stronger attack may find "
            "more.\n\n| attack | value |\n|---|---|\n" + "\n".join(rows)
        )

    def _check(self, run: Run) -> None:
        if self.final_attack == "autoattack":
            require_autoattack(len(run.data.classes))
        weights = (self.task_weight, self.attacked_task_weight, self.teach_weight, self.attacked_teach_weight)
        if not any(weights):
            raise KdzooError(
                "algorithm 'robust-training': all weights are 0, so that nothing would be learnt; set "
                "algorithm.attacked_teach_weight"
            )
        if self.objective == "teacher" and "teacher" not in run.roles:
            raise KdzooError(
                "algorithm.objective 'teacher' attacks the answer of the role 'teacher', and scheme "
                f"{run.recipe.scheme.name!r} has none: take algorithm.objective=label"
            )

    def _attack(self, run: Run, clean: Batch, read: str) -> Tensor:
        """The attacked images, computed with the current student."""
        image, answer = clean.inputs[read], _answer(run, "student")
        start = start_at(image, self.epsilon, self.start, run.generator("attack"))
        with run.evaluating("student") if self.attack_mode == "eval" else nullcontext():
            return pgd(
                self._objective(run, clean, read, answer),
                image,
                start,
                epsilon=self.epsilon,
                step_size=self.step_size,
                steps=self.steps,
            )

    def _objective(self, run: Run, clean: Batch, read: str, answer: Answer) -> Callable[[Tensor], Tensor]:
        if self.objective == "teacher":
            teacher = run.see("teacher", clean).logits.detach()
            return lambda images: teacher_ascent(answer(images), teacher)
        target = clean.target
        if target is None:
            raise KdzooError(
                "algorithm.objective 'label' needs labelled batches: take algorithm.objective=teacher"
            )
        if run.recipe.data.labels_per_class is not None and not target.is_floating_point():
            # Without a label, the attack moves away from the student's own prediction.
            with torch.no_grad():
                own = answer(clean.inputs[read]).argmax(dim=1)
            target = own.where(target == UNLABELLED, target)
        return lambda images: label_ascent(answer(images), target)

    def _validator(self, run: Run) -> Callable[[], Mapping[str, float]] | None:
        """``val/robust`` on a part of the validation split, if there is one; also of the teacher."""
        split = run.data.val
        if split is None or not self.val_images:
            return None
        part: list[Batch] = []
        known: dict[str, float] = {}

        def measure() -> Mapping[str, float]:
            if not part:
                part.extend(spread_out(split, self.val_images))
            for role in _measured(run):
                name = "val/robust" if role == "student" else f"val/robust/{role}"
                if role == "student" or name not in known:  # a frozen teacher's accuracy does not change
                    known[name] = under_pgd(
                        _answer(run, role),
                        part,
                        _modality(run),
                        self.epsilon,
                        run.recipe.seed,
                        self.measured_steps,
                    )
            return dict(known)

        return measure


def _modality(run: Run, role: str = "student") -> str:
    """The modality of a role; a numbered role that the recipe does not name has that of its stem."""
    roles = run.recipe.roles
    config = roles.get(role) or roles.get(role.rstrip("0123456789")) or roles["student"]
    return config.modality


def _frozen(module: torch.nn.Module) -> bool:
    return isinstance(module, Backbone | Assembled) and not any(
        one.requires_grad for one in module.parameters()
    )


def _measured(run: Run) -> list[str]:
    """The student, and the teacher if it can be attacked in the same way."""
    teacher = run.roles.get("teacher")
    alike = teacher is not None and _frozen(teacher) and _modality(run, "teacher") == _modality(run)
    return ["student", "teacher"] if alike else ["student"]


def _task(run: Run, batch: Batch) -> Tensor:
    return torch.stack([run.task(role, batch) for role in run.students]).sum()


def _answer(run: Run, role: str) -> Answer:
    """A function from images to a role's float32 logits, for any number of calls; outputs are not cached."""
    network = run.roles[role]

    def answer(images: Tensor) -> Tensor:
        with run.autocast():
            logits: Tensor = network(images).logits
        return logits.float()

    return answer
