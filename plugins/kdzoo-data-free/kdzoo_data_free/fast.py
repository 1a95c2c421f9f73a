"""A meta-learned generator: FastDFKD, Fang et al. 2022."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Algorithm, Batch, Noise, Phase, Run
from kdzoo_data_free.bank import Bank
from kdzoo_data_free.functional.meta import moving, pull, reptile_gradients
from kdzoo_data_free.functional.realism import adversarial_loss
from kdzoo_data_free.functional.statistics import statistics_loss
from kdzoo_data_free.generative import GENERATOR, Making
from kdzoo_data_free.statistics import BatchNormStatistics, Moments
from kdzoo_data_free.synthetic import describe, refuse_without_teaching, show, synthetic

_MOMENTS = "data-free/moments"
_REPTILE = 67.0
"""The authors' factor, which compensates for the small steps of the inner loop."""


class MetaGenerator(Algorithm):
    """Each batch of images is made by an adapted copy of a meta-learned generator, and stored.

    The generator is meta-learned from the adaptation of its copies, so that few steps suffice: its weights
    capture what images have in common. Phase ``synthesise`` makes the first batches; in ``distill`` each new
    batch is followed by student steps on stored images.

    Args:
        adversarial: weight of minus KL(teacher || student) on images for which both predict the same class;
            used in ``distill``.
        statistics: weight of the distance of the teacher's BatchNorm statistics.
        one_hot: weight of the cross-entropy with classes drawn at random.
        inner_steps: adaptation steps of the copy and the batch's random vectors.
        inner_lr: Adam's learning rate for the copy.
        latent_lr: the same for the random vectors.
        meta: update of the generator: ``fomaml`` uses the sum of the inner gradients, ``reptile`` the
            difference between copy and generator.
        momentum: weight of past batches in the statistics that are compared with the teacher's.
        generator_lr: Adam's learning rate for the generator.
        warmup: batches of images made before the student's first step.
        steps: batches of images made per epoch.
        student_steps: student steps after each of them.
        memory: largest number of stored images.
        latent: length of the generator's random vectors.
        width: channels of the generator's last maps; the others have twice as many.
        picture_every: epochs between pictures.

    """

    name = "fast"
    needs_loop = "trains on images that it generates"

    def __init__(
        self,
        adversarial: NonNegativeFloat = 1.1,
        statistics: PositiveFloat = 10.0,
        one_hot: NonNegativeFloat = 0.4,
        inner_steps: PositiveInt = 10,
        inner_lr: PositiveFloat = 5e-3,
        latent_lr: PositiveFloat = 0.015,
        meta: Literal["fomaml", "reptile"] = "fomaml",
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        generator_lr: PositiveFloat = 5e-3,
        warmup: PositiveInt = 20,
        steps: PositiveInt = 1,
        student_steps: PositiveInt = 400,
        memory: PositiveInt = 20_000,
        latent: PositiveInt = 256,
        width: PositiveInt = 64,
        picture_every: PositiveInt = 5,
    ) -> None:
        self.making = Making(
            steps=steps,
            student_steps=student_steps,
            latent=latent,
            width=width,
            lr=generator_lr,
            picture_every=picture_every,
        )
        self.adversarial = adversarial
        self.statistics = statistics
        self.one_hot = one_hot
        self.inner_steps = inner_steps
        self.inner_lr = inner_lr
        self.latent_lr = latent_lr
        self.meta = meta
        self.momentum = momentum
        self.warmup = warmup
        self.memory = memory

    def phases(self, run: Run) -> Iterator[Phase]:
        """``synthesise`` for one epoch, then ``distill`` for the recipe's epochs."""
        refuse_without_teaching(run, self.name)
        making = self.making
        layers = BatchNormStatistics(
            run.roles["teacher"],
            name=f"teacher {run.recipe.roles['teacher'].model!r}",
            needed_by="algorithm 'fast'",
            instead="take a convolutional teacher with BatchNorm, or a method without that term, such as 'dafl'",
        )
        run.enroll(GENERATOR, making.generator(run), student=False, optim=making.optim())
        batches = self.warmup + run.recipe.epochs * making.steps
        bank = Bank(run, min(self.memory, batches * run.recipe.data.batch_size))

        def synthesise(batch: Batch) -> Mapping[str, Tensor]:
            return self._synthesise(run, layers, bank, batch, 0.0)

        def distill(batch: Batch) -> Mapping[str, Tensor]:
            recorded = self._synthesise(run, layers, bank, batch, self.adversarial)
            taught = torch.zeros((), device=run.device)
            for _ in range(making.student_steps):
                kept = synthetic(bank.draw(len(batch)), batch.progress)
                teach = run.teach(kept)
                run.update(teach, *run.students, "knowledge")
                taught = taught + teach.detach()
            return {**recorded, "teach": taught / making.student_steps}

        def after_epoch() -> Mapping[str, float]:
            images = bank.latest(64)
            show(run, images, making.picture_every)
            return describe(run, images)

        yield Phase("synthesise", Noise(run, self.warmup), synthesise, 1, validate=False)
        yield Phase("distill", Noise(run, making.steps), distill, run.recipe.epochs, after_epoch=after_epoch)

    def _synthesise(
        self, run: Run, layers: BatchNormStatistics, bank: Bank, batch: Batch, adversarial: float
    ) -> dict[str, Tensor]:
        """Adapt a copy of the generator to a new batch of images, store the best ones, and update the generator."""
        generator = run.roles[GENERATOR]
        quick = copy.deepcopy(generator)
        weights = list(quick.parameters())
        vectors = self.making.latents(run, len(batch)).requires_grad_()
        classes = torch.randint(
            len(run.data.classes), (len(batch),), generator=run.generator("classes"), device=run.device
        )
        adam = torch.optim.Adam(
            [{"params": weights, "lr": self.inner_lr}, {"params": [vectors], "lr": self.latent_lr}],
            betas=self.making.betas,
        )
        total = [torch.zeros_like(one) for one in weights]
        best, least = (torch.full((), one, device=run.device) for one in (0.0, torch.inf))
        terms: dict[str, Tensor] = {}
        seen: list[Moments] = []
        for _ in range(self.inner_steps):
            with run.autocast():
                images = quick(vectors)
            terms, seen = self._judge(run, layers, synthetic(images, batch.progress), classes, adversarial)
            loss = torch.stack(list(terms.values())).sum()
            better = loss.detach() < least
            best = torch.where(better, images.detach(), best)
            least = torch.where(better, loss.detach(), least)
            *gradients, vectors.grad = torch.autograd.grad(loss, [*weights, vectors])
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            if self.meta == "fomaml":
                torch._foreach_add_(total, gradients)
            adam.step()
        if self.meta == "reptile":
            total = reptile_gradients(list(generator.parameters()), weights, _REPTILE)
        run.update(pull(list(generator.parameters()), total), GENERATOR)
        self._remember(run, seen)
        bank.add(best)
        return {name: one.detach() for name, one in terms.items()}

    def _judge(
        self, run: Run, layers: BatchNormStatistics, batch: Batch, classes: Tensor, adversarial: float
    ) -> tuple[dict[str, Tensor], list[Moments]]:
        """The weighted terms, and the images' moments at the teacher's BatchNorm layers."""
        with run.evaluating(*run.students):
            with layers.reading() as seen:
                teacher = run.see("teacher", batch).logits.float()
            past = self._past(run, seen)
            pairs = [
                (
                    moving(mean, one.mean, self.momentum),
                    moving(var, one.var, self.momentum),
                    one.running_mean,
                    one.running_var,
                )
                for one, (mean, var) in zip(seen, past, strict=True)
            ]
            terms = {
                "statistics": self.statistics * statistics_loss(pairs),
                "one_hot": self.one_hot * functional.cross_entropy(teacher, classes),
            }
            if adversarial:
                student = run.see("student", batch).logits
                gap = adversarial_loss(student, teacher, agreed_only=True).mean()
                terms["adversarial"] = adversarial * gap
        return terms, seen

    def _past(self, run: Run, seen: list[Moments]) -> list[tuple[Tensor | None, Tensor | None]]:
        """For each layer, the moving mean and variance of past batches."""
        if not self.momentum or _MOMENTS not in run.state:
            return [(None, None)] * len(seen)
        flat = run.state[_MOMENTS].to(run.device)
        parts = flat.split([len(one.mean) for one in seen for _ in range(2)])
        return list(zip(parts[::2], parts[1::2], strict=True))

    def _remember(self, run: Run, seen: list[Moments]) -> None:
        if not self.momentum:
            return
        now = torch.cat([part for one in seen for part in (one.mean.detach(), one.var.detach())])
        before = run.state.get(_MOMENTS)
        run.state[_MOMENTS] = moving(
            None if before is None else before.to(run.device), now, self.momentum
        ).clone()
