"""A generator whose images supplement the real ones, trained with the teacher's feedback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

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
from kdzoo_adversarial.batch_norm import Watched, has_statistics, watching
from kdzoo_adversarial.critic import Critic
from kdzoo_adversarial.functional.supplement import balance_loss, confidence_loss, disagreement
from kdzoo_adversarial.functional.versus import (
    discriminator_loss,
    fooling_loss,
    normalised_rows,
    told_apart,
)
from kdzoo_adversarial.generator import Generator

_PICTURED, _EPOCHS = "gan-supplement/pictured", "gan-supplement/epochs"
_SHOWN = 64


class GanSupplement(Algorithm):
    """Alternate updates of discriminator, generator and student, with a frozen teacher.

    In each step, the discriminator, which reads the teacher's embedding, learns to distinguish real from
    generated images; the generator minimises its losses from discriminator and teacher and maximises the
    disagreement of student and teacher; the student learns the task on the real images and from the teacher
    on both.

    Args:
        task_weight: weight of the task loss on the real images.
        teach_weight: weight of the distillation loss on real and generated images together.
        supplement: whether there is a generator; without one, this is plain distillation.
        confidence_weight: weight of the teacher's confidence in the generator's loss.
        balance_weight: weight of the balance of classes in a batch.
        statistics_weight: weight of the distance to the statistics of the teacher's BatchNorm layers, if any.
        real_weight: weight of fooling the discriminator; with 0 there is none.
        disagreement_weight: weight of the divergence of student and teacher, which the generator maximises.
        batch_size: generated images per batch; default: the recipe's batch size.
        generator_steps: updates of the generator for each batch of real images.
        student_steps: updates of the student for each batch of real images, with newly generated ones.
        generator_lr: Adam's learning rate for generator and discriminator.
        latent: length of a noise vector.
        width: channels of the generator's last map.
        picture_epochs: epochs between pictures of generated images (there is one at the end too); 0 is none.
    """

    name = "gan-supplement"
    needs_loop = "also trains a generator and a discriminator"
    reads_teacher = True

    def __init__(
        self,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
        supplement: bool = True,
        confidence_weight: NonNegativeFloat = 1.0,
        balance_weight: NonNegativeFloat = 5.0,
        statistics_weight: NonNegativeFloat = 1.0,
        real_weight: NonNegativeFloat = 1.0,
        disagreement_weight: NonNegativeFloat = 1.0,
        batch_size: PositiveInt | None = None,
        generator_steps: PositiveInt = 1,
        student_steps: PositiveInt = 1,
        generator_lr: PositiveFloat = 1e-3,
        latent: PositiveInt = 100,
        width: PositiveInt = 64,
        picture_epochs: NonNegativeInt = 10,
    ) -> None:
        self.task_weight = task_weight
        self.teach_weight = teach_weight
        self.supplement = supplement
        self.confidence_weight = confidence_weight
        self.balance_weight = balance_weight
        self.statistics_weight = statistics_weight
        self.real_weight = real_weight
        self.disagreement_weight = disagreement_weight
        self.batch_size = batch_size
        self.generator_steps = generator_steps
        self.student_steps = student_steps
        self.generator_lr = generator_lr
        self.latent = latent
        self.width = width
        self.picture_epochs = picture_epochs

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        self._check(run)
        if self.supplement:
            self._enroll(run)

        def step(batch: Batch) -> Mapping[str, Tensor]:
            recorded: dict[str, Tensor] = {}
            if self.supplement:
                for _ in range(self.generator_steps):
                    recorded = self._improve(run, batch)
            for _ in range(self.student_steps):
                recorded |= self._learn(run, batch)
            return recorded

        after = self._show if self.supplement and self.picture_epochs else None
        yield Phase(
            "supplement",
            run.data.train,
            step,
            run.recipe.epochs,
            after_epoch=None if after is None else lambda: after(run),
        )

    def _check(self, run: Run) -> None:
        if "teacher" not in run.roles:
            raise KdzooError(
                "algorithm 'gan-supplement': the teacher judges the generated images, and there is no role "
                "'teacher'; pass --teacher MODEL with scheme offline"
            )
        reading = {modality_of(run, role) for role in ("student", "teacher")}
        if len(reading) > 1:
            raise KdzooError(
                f"algorithm 'gan-supplement' generates one modality, and student and teacher read "
                f"{' and '.join(sorted(reading))}; give both the same"
            )

    def _enroll(self, run: Run) -> None:
        modality = modality_of(run, "student")
        adam: dict[str, Any] = {"opt": "adam", "weight_decay": 0.0, "sched": "none", "lr": self.generator_lr}
        optim = OptimConfig(**adam, opt_kwargs={"betas": (0.5, 0.999)})
        with seeded(run.generator("supplement/weights").initial_seed()):
            generator = Generator(self.latent, run.data.channels[modality], run.data.img_size, self.width)
            run.enroll("generator", generator, student=False, optim=optim)
            if self.real_weight:
                run.tap("teacher", embedding=True)
                size = self._embedding_size(run, modality)
                run.enroll("discriminator", Critic(size), student=False, optim=optim)
        if self.picture_epochs and _PICTURED not in run.state:
            noise = torch.randn(
                _SHOWN, self.latent, generator=run.generator("supplement/pictured"), device=run.device
            )
            run.state |= {_PICTURED: noise, _EPOCHS: 0}

    def _embedding_size(self, run: Run, modality: str) -> int:
        side = run.data.img_size
        image = torch.zeros(1, run.data.channels[modality], side, side, device=run.device)
        with torch.no_grad():
            answer: Output = run.roles["teacher"](image, (), True)
        return answer.embedded.shape[1]

    def _generate(self, run: Run) -> Tensor:
        count = self.batch_size or run.recipe.data.batch_size
        noise = torch.randn(
            count, self.latent, generator=run.generator("supplement/noise"), device=run.device
        )
        with run.autocast():
            images: Tensor = run.roles["generator"](noise)
        return images

    def _improve(self, run: Run, batch: Batch) -> dict[str, Tensor]:
        """One update of the discriminator and one of the generator."""
        fake = self._generate(run)
        teacher, watched = self._judge(run, fake)
        recorded = {
            "confidence": confidence_loss(teacher.logits).mean(),
            "balance": balance_loss(teacher.logits),
        }
        loss = self.confidence_weight * recorded["confidence"] + self.balance_weight * recorded["balance"]
        if watched is not None:
            recorded["statistics"] = watched.distance()
            loss = loss + self.statistics_weight * recorded["statistics"]
        if self.real_weight:
            rows = normalised_rows(teacher.embedded)[:, None]
            recorded["told-apart"] = self._discriminate(run, batch, rows.detach())
            recorded["fooling"] = fooling_loss(self._score(run, rows))
            loss = loss + self.real_weight * recorded["fooling"]
        if self.disagreement_weight:
            with run.evaluating("student"), run.autocast():
                student = run.roles["student"](fake).logits
            recorded["disagreement"] = disagreement(student, teacher.logits).mean()
            loss = loss - self.disagreement_weight * recorded["disagreement"]
        run.update(loss, "generator")
        return {name: value.detach() for name, value in recorded.items()}

    def _judge(self, run: Run, fake: Tensor) -> tuple[Output, Watched | None]:
        """The teacher's output for generated images, and their statistics at its BatchNorm layers."""
        network = run.roles["teacher"]
        reads = bool(self.statistics_weight) and has_statistics(network)
        with watching(network) as watched, run.autocast():
            # Not called as a module: torch.compile would skip the hooks.
            answer: Output = network.forward(fake, (), bool(self.real_weight))
        return answer, watched if reads else None

    def _discriminate(self, run: Run, batch: Batch, fake: Tensor) -> Tensor:
        """Update the discriminator; returns its accuracy before the update."""
        embedding = run.see("teacher", batch).embedded
        real_scores = self._score(run, normalised_rows(embedding.detach())[:, None])
        fake_scores = self._score(run, fake)
        run.update(discriminator_loss(real_scores, fake_scores), "discriminator")
        return told_apart(real_scores, fake_scores)

    def _score(self, run: Run, rows: Tensor) -> Tensor:
        with run.autocast():
            scores: Tensor = run.roles["discriminator"](rows)
        return scores

    def _learn(self, run: Run, batch: Batch) -> dict[str, Tensor]:
        """One update of the student."""
        joint = self._join(run, batch) if self.supplement else batch
        teach = run.teach(joint)
        task = torch.stack([run.task(role, joint) for role in run.students]).sum()
        run.update(self.task_weight * task + self.teach_weight * teach, *run.students, "knowledge")
        return {"teach": teach, "task": task}

    def _join(self, run: Run, batch: Batch) -> Batch:
        """Real and generated images as one batch, so that BatchNorm's statistics are those of both together."""
        modality = modality_of(run, "student")
        with torch.no_grad():
            fake = self._generate(run)
        nowhere = torch.full((len(fake),), -1, device=fake.device)
        target = batch.target
        if target is not None:
            untold = nowhere.new_full(nowhere.shape, UNLABELLED)
            if target.is_floating_point():
                untold = target.new_zeros(len(fake), target.shape[1])
            target = torch.cat([target, untold])
        images = torch.cat([batch.inputs[modality], fake])
        return Batch(torch.cat([batch.index, nowhere]), {modality: images}, target, batch.progress)

    def _show(self, run: Run) -> Mapping[str, float]:
        """A picture of generated images, always from the same noise."""
        run.state[_EPOCHS] += 1
        done = run.state[_EPOCHS]
        if done % self.picture_epochs == 0 or done == run.recipe.epochs:
            run.picture("generated", run.roles["generator"](run.state[_PICTURED]))
        return {}


def modality_of(run: Run, role: str) -> str:
    """The modality that a role of the recipe reads."""
    config = run.recipe.roles.get(role)
    return "image" if config is None else config.modality
