"""Adversarial training of the student against discriminators between student and teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from kdzoo.api import (
    UNLABELLED,
    Algorithm,
    Batch,
    KdzooError,
    OptimConfig,
    Output,
    Phase,
    Run,
    Tune,
    seeded,
)
from kdzoo_adversarial.critic import Critic
from kdzoo_adversarial.functional.versus import (
    class_condition,
    discriminator_loss,
    fooling_loss,
    told_apart,
)
from kdzoo_adversarial.gan_supplement import modality_of
from kdzoo_adversarial.views import Parts, make_views

OWN, OTHERS = "student-view", "teacher-view"


class FeatureGan(Algorithm):
    """Two updates per step: the discriminators', then the student's, whose loss includes fooling them.

    Args:
        logit_weight: weight of fooling the discriminator on class probabilities; with 0 there is none.
        embedding_weight: the same on the embedding.
        stage_weight: the same on each of ``stages``; every position of a map has its own score.
        stages: stages of both networks; -1 is the deepest.
        condition: the class that a discriminator is conditioned on: the teacher's prediction, the label, or
            none. Without one, predictions for the wrong images can fool the discriminator.
        task_weight: weight of the task loss.
        teach_weight: weight of the distillation loss.
        temperature: divides the logits before a discriminator's softmax.
        discriminator_lr: Adam's learning rate.
        hidden: width of a discriminator's hidden layers.
    """

    name = "feature-gan"
    needs_loop = "updates discriminators and students in turn"
    reads_teacher = True

    def __init__(
        self,
        logit_weight: NonNegativeFloat = 1.0,
        embedding_weight: NonNegativeFloat = 1.0,
        stage_weight: NonNegativeFloat = 1.0,
        stages: tuple[Annotated[int, Field(lt=0)], ...] = (),
        condition: Literal["teacher", "label", "none"] = "teacher",
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
        temperature: PositiveFloat = 4.0,
        discriminator_lr: PositiveFloat = 1e-3,
        hidden: PositiveInt = 128,
    ) -> None:
        self.logit_weight = logit_weight
        self.embedding_weight = embedding_weight
        self.stage_weight = stage_weight
        self.parts = Parts(
            bool(logit_weight), bool(embedding_weight), tuple(sorted(set(stages))) if stage_weight else ()
        )
        self.condition = condition
        self.task_weight = task_weight
        self.teach_weight = teach_weight
        self.temperature = temperature
        self.discriminator_lr = discriminator_lr
        self.hidden = hidden

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        self._enroll(run)

        def step(batch: Batch) -> Mapping[str, Tensor]:
            teach = run.teach(batch) if self.teach_weight else torch.zeros((), device=run.device)
            told = self._told(run, batch)
            teacher = [rows.detach() for rows in run.see(OTHERS, batch).features]
            student = run.see(OWN, batch).features
            real = self._scores(run, teacher, told)
            fake = self._scores(run, [rows.detach() for rows in student], told)
            pairs = list(zip(real, fake, strict=True))
            judged = torch.stack([discriminator_loss(*pair) for pair in pairs]).sum()
            run.update(judged, "discriminators")

            fooling = [fooling_loss(scores) for scores in self._scores(run, student, told)]
            weighted = [weight * loss for weight, loss in zip(self._weights(), fooling, strict=True)]
            task = torch.stack([run.task(role, batch) for role in run.students]).sum()
            total = torch.stack(weighted).sum() + self.task_weight * task + self.teach_weight * teach
            recorded = {"task": task, "teach": teach, "discriminate": judged}
            projections = [OWN] if self.parts.names != ("logits",) else []
            run.update(total, *run.students, *projections, "knowledge")
            for name, loss, pair in zip(self.parts.names, fooling, pairs, strict=True):
                recorded |= {f"fool/{name}": loss, f"told-apart/{name}": told_apart(*pair)}
            return recorded

        yield Phase("game", run.data.train, step, run.recipe.epochs)

    def _enroll(self, run: Run) -> None:
        if not self.parts.names:
            raise KdzooError(
                "algorithm 'feature-gan': there is no discriminator, for all their weights are 0 or no stage is "
                "named; set algorithm.logit_weight"
            )
        if "teacher" not in run.roles:
            raise KdzooError(
                "algorithm 'feature-gan': a discriminator tells the student from the role 'teacher', and there is "
                "none; pass --teacher MODEL with scheme offline"
            )
        if self.condition == "label" and run.recipe.data.labels_per_class == 0:
            raise KdzooError(
                "algorithm 'feature-gan' tells the discriminators the label, and all labels are withheld: take "
                "algorithm.condition=teacher"
            )
        for role in ("student", "teacher"):
            run.tap(role, *self.parts.stages, embedding=self.parts.embedding)
        student, teacher = (self._probe(run, role) for role in ("student", "teacher"))
        told = teacher.logits.shape[1] if self.condition != "none" else 0
        adam = OptimConfig(
            opt="adam",
            lr=self.discriminator_lr,
            weight_decay=0.0,
            sched="none",
            opt_kwargs={"betas": (0.5, 0.999)},
        )
        with seeded(run.generator("game/weights").initial_seed()):
            own, others, sizes = make_views(self.parts, self.temperature, student, teacher)
            critics = nn.ModuleList(Critic(size, told, self.hidden) for size in sizes)
        run.enroll(OWN, own, student=False, reads="student", stages=self.parts.stages)
        run.enroll(OTHERS, others, learns=False, reads="teacher", stages=self.parts.stages)
        run.enroll("discriminators", critics, student=False, optim=adam)

    def _probe(self, run: Run, role: str) -> Output:
        """The shapes of a role's output."""
        side, channels = run.data.img_size, run.data.channels[modality_of(run, role)]
        image = torch.zeros(1, channels, side, side, device=run.device)
        with run.evaluating(role), torch.no_grad():
            answer: Output = run.roles[role](image, self.parts.stages, self.parts.embedding)
        return answer

    def _weights(self) -> list[float]:
        stages = [self.stage_weight] * len(self.parts.stages)
        return [*(one for one in (self.logit_weight, self.embedding_weight) if one), *stages]

    def _told(self, run: Run, batch: Batch) -> Tensor | None:
        """(B, K), the condition of the discriminators."""
        if self.condition == "none":
            return None
        logits = run.see("teacher", batch).logits
        if self.condition == "teacher":
            return class_condition(logits.argmax(dim=1), logits.shape[1])
        target = batch.target
        if target is None:
            target = torch.full((len(batch),), UNLABELLED, device=run.device)
        return class_condition(target, logits.shape[1])

    def _scores(self, run: Run, rows: list[Tensor] | tuple[Tensor, ...], told: Tensor | None) -> list[Tensor]:
        critics = run.roles["discriminators"]
        assert isinstance(critics, nn.ModuleList)
        with run.autocast():
            return [critic(row, told) for critic, row in zip(critics, rows, strict=True)]
