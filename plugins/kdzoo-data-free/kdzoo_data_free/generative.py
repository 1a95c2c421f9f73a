"""The base of methods with a generator: alternating updates of generator and student."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from kdzoo.api import Algorithm, Batch, Noise, OptimConfig, Phase, Run, seeded
from kdzoo_data_free.generator import Generator
from kdzoo_data_free.synthetic import describe, refuse_without_teaching, show, synthetic

GENERATOR = "generator"
"""The role of the generator."""

_SHOWN = "data-free/shown"


@dataclass(frozen=True)
class Making:
    """Settings of the generator and of the alternation.

    Attributes:
        steps: generator steps per epoch.
        student_steps: student steps after each of them.
        latent: length of the generator's random vectors.
        width: channels of the generator's last maps; the others have twice as many.
        lr: the generator's learning rate.
        fresh: whether each student step has new images; else all use those of the generator step.
        sched: the generator's schedule.
        betas: betas of the generator's Adam.
        clip_grad: largest norm of the generator's gradient.
        picture_every: epochs between pictures.

    """

    steps: int
    student_steps: int
    latent: int
    width: int
    lr: float
    fresh: bool = False
    sched: Literal["cosine", "none"] = "none"
    betas: tuple[float, float] = (0.5, 0.999)
    clip_grad: float | None = None
    picture_every: int = 5

    def optim(self) -> OptimConfig:
        """The generator's optimizer: Adam."""
        return OptimConfig(
            opt="adam",
            lr=self.lr,
            weight_decay=0.0,
            opt_kwargs={"betas": self.betas},
            sched=self.sched,
            warmup_epochs=0.0,
            clip_grad=self.clip_grad,
        )

    def generator(self, run: Run) -> Generator:
        """A generator for the data's channels and size, initialised with the run's seed."""
        with seeded(run.recipe.seed):
            made = Generator(self.latent, run.data.channels["image"], run.data.img_size, self.width)
        return made.to(memory_format=torch.channels_last) if run.recipe.channels_last else made

    def latents(self, run: Run, rows: int, stream: str = "latent") -> Tensor:
        """(rows, latent) random numbers of mean 0 and variance 1."""
        return torch.randn(rows, self.latent, generator=run.generator(stream), device=run.device)


class Generative(Algorithm):
    """One phase. Each step has one generator step, then some student steps on generated images.

    The phase's data is noise, which determines the batch size and the number of steps. Subclasses define the
    generator's loss.

    Args:
        steps: generator steps per epoch.
        student_steps: student steps after each of them.
        latent: length of the generator's random vectors.
        width: channels of the generator's last maps; the others have twice as many.
        generator_lr: Adam's learning rate.
        picture_every: epochs between pictures.

    """

    needs_loop = "trains on images that it generates"
    fixed: ClassVar[Mapping[str, Any]] = {}
    """Fixed settings of the method, as arguments of :class:`Making`."""
    student_mode: ClassVar[Literal["eval", "train"]] = "eval"
    """The student's mode during the generator's update."""

    def __init__(
        self,
        steps: PositiveInt = 50,
        student_steps: PositiveInt = 5,
        latent: PositiveInt = 100,
        width: PositiveInt = 64,
        generator_lr: PositiveFloat = 1e-3,
        picture_every: PositiveInt = 5,
    ) -> None:
        self.making = Making(
            steps=steps,
            student_steps=student_steps,
            latent=latent,
            width=width,
            lr=generator_lr,
            picture_every=picture_every,
            **self.fixed,
        )

    def prepare(self, run: Run) -> None:
        """Refuse a run that cannot work and set up taps, before training."""

    @abstractmethod
    def judge(self, run: Run, batch: Batch) -> Mapping[str, tuple[float, Tensor]]:
        """The generator's loss: the weight and value of each term; values are scalars with gradient to the images."""

    def lesson(self, run: Run, batch: Batch) -> Mapping[str, Tensor]:
        """The students' loss on generated images, a sum."""
        return {"teach": run.teach(batch)}

    def phases(self, run: Run) -> Iterator[Phase]:
        """``distill``, for the recipe's epochs."""
        refuse_without_teaching(run, self.name)
        self.prepare(run)
        making = self.making
        run.enroll(GENERATOR, making.generator(run), student=False, optim=making.optim())

        def step(batch: Batch) -> Mapping[str, Tensor]:
            images = self.make(run, len(batch))
            seen = synthetic(images, batch.progress)
            with run.evaluating(*(run.students if self.student_mode == "eval" else ())):
                terms = self.judge(run, seen)
                if any(weight for weight, _ in terms.values()):
                    run.update(torch.stack([weight * one for weight, one in terms.values()]).sum(), GENERATOR)
            recorded = {name: one.detach() for name, (_, one) in terms.items()}
            return {**recorded, **self.instruct(run, synthetic(images.detach(), batch.progress))}

        yield Phase(
            "distill",
            Noise(run, making.steps),
            step,
            run.recipe.epochs,
            after_epoch=self.showing(run),
        )

    def make(self, run: Run, rows: int) -> Tensor:
        """(rows, C, H, W) new images with gradient to the generator."""
        with run.autocast():
            images: Tensor = run.roles[GENERATOR](self.making.latents(run, rows))
        return images

    def instruct(self, run: Run, batch: Batch) -> Mapping[str, Tensor]:
        """The student's steps; returns their mean loss."""
        sums: dict[str, Tensor] = {}
        for _ in range(self.making.student_steps):
            if self.making.fresh:
                with torch.no_grad():
                    batch = synthetic(self.make(run, len(batch)), batch.progress)
            losses = self.lesson(run, batch)
            run.update(torch.stack(list(losses.values())).sum(), *run.students, "knowledge")
            sums = {
                name: one.detach() + sums[name] if name in sums else one.detach()
                for name, one in losses.items()
            }
        return {name: one / self.making.student_steps for name, one in sums.items()}

    def showing(self, run: Run) -> Callable[[], Mapping[str, float]]:
        """Pictures and figures of generated images, always from the same vectors."""

        def after_epoch() -> Mapping[str, float]:
            if _SHOWN not in run.state:
                run.state[_SHOWN] = self.making.latents(run, 64, "shown")
            with run.autocast():
                images = run.roles[GENERATOR](run.state[_SHOWN])
            show(run, images, self.making.picture_every)
            return describe(run, images)

        return after_epoch
