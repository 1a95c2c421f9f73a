"""Optimise images to look like the teacher's training data: Yin et al. 2020."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Algorithm, Batch, KdzooError, Noise, OptimConfig, Phase, Run, Tune
from kdzoo_data_free.album import Album, Prints, move
from kdzoo_data_free.canvas import Canvas
from kdzoo_data_free.functional.inversion import competition_loss, rolled, total_variation
from kdzoo_data_free.functional.statistics import statistics_loss
from kdzoo_data_free.statistics import BatchNormStatistics

Probability = Annotated[float, Field(ge=0, le=1)]


class DeepInversion(Algorithm):
    """Synthesise images from the teacher, save them as an image folder, and train the student on them.

    Phase ``invert``: each epoch makes one batch of images, optimised from noise so that the teacher predicts
    their target classes, their statistics at its BatchNorm layers match the running ones, and they are
    smooth. They are written to ``images/train/`` in the run's folder. Phase ``distill``: the student is
    trained on them for the recipe's epochs.

    Args:
        batches: batches of images per round.
        batch_size: images per batch.
        steps: optimisation steps for each batch.
        image_lr: Adam's learning rate, for images normalised as the teacher's input.
        class_weight: weight of the cross-entropy with the target class.
        bn_weight: weight of the distance of the BatchNorm statistics.
        tv_weight: weight of the total variation.
        l2_weight: weight of the Euclidean norm of the images, normalised as the teacher's input.
        competition: weight of 1 - the divergence of student and teacher (Adaptive DeepInversion).
        rounds: rounds of making images and training on them; the competition is used from the second on.
        jitter: largest roll of the images in each optimisation step, in pixels.
        flip: probability that images are mirrored, in their optimisation and for the student.
        crop: largest shift of the student's images, in pixels.
        task_weight: weight of the student's cross-entropy with the target classes.
        teach_weight: weight of the distillation loss.
    """

    name = "deepinversion"
    needs_loop = "trains on images that it generates"
    exempt: ClassVar = {
        "wait": "the finished images of a batch are written to files",
        "processes": "images are made in one process, and several are refused",
    }

    def __init__(
        self,
        batches: PositiveInt = 196,
        batch_size: Annotated[int, Field(ge=2)] = 256,
        steps: PositiveInt = 2000,
        image_lr: PositiveFloat = 0.1,
        class_weight: NonNegativeFloat = 1.0,
        bn_weight: NonNegativeFloat = 100.0,
        tv_weight: NonNegativeFloat = 2.5e-5,
        l2_weight: NonNegativeFloat = 3e-8,
        competition: NonNegativeFloat = 0.0,
        rounds: PositiveInt = 1,
        jitter: NonNegativeInt = 2,
        flip: Probability = 0.5,
        crop: NonNegativeInt = 4,
        task_weight: NonNegativeFloat = 0.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
    ) -> None:
        if competition and rounds == 1:
            raise KdzooError(
                "algorithm.competition asks for images on which the student errs, and in the first round it has "
                "learnt nothing yet: set algorithm.rounds=2 or more"
            )
        self.batches, self.batch_size, self.steps = batches, batch_size, steps
        self.image_lr = image_lr
        self.class_weight, self.bn_weight = class_weight, bn_weight
        self.tv_weight, self.l2_weight = tv_weight, l2_weight
        self.competition, self.rounds = competition, rounds
        self.jitter, self.flip, self.crop = jitter, flip, crop
        self.task_weight, self.teach_weight = task_weight, teach_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """``invert`` and ``distill``; with several rounds ``invert1``, ``distill1``, ``invert2``, ..."""
        statistics = _statistics(run)
        album = Album(run.folder / "images", run.data.classes)
        epochs = run.recipe.epochs
        for number in range(self.rounds):
            mark = str(number + 1) if self.rounds > 1 else ""
            yield self._invert(run, album, statistics, number, f"invert{mark}")
            made = (number + 1) * self.batches * self.batch_size
            prints = Prints(
                run,
                album.read(made, run.data.channels["image"]),
                album.targets(0, made),
                steps=max(1, made // run.recipe.data.batch_size),
                shift=self.crop,
                flip=self.flip,
                name=f"prints{mark}",
            )
            yield Phase(f"distill{mark}", prints, lambda batch: self._teach(run, batch), epochs)

    def _invert(
        self, run: Run, album: Album, statistics: BatchNormStatistics, number: int, name: str
    ) -> Phase:
        """The phase that makes the images of a round."""
        teacher = run.roles["teacher"]
        size = run.data.img_size
        shape = (self.batch_size, run.data.channels["image"], size, size)
        canvas = Canvas(shape, getattr(teacher, "mean", 0.5), getattr(teacher, "std", 0.25))
        adam = OptimConfig(opt="adam", lr=self.image_lr, weight_decay=0.0, sched="none")
        run.enroll("canvas", canvas, optim=adam)
        # epochs are counted over all phases
        moves = Moves(run, self.steps, number * (self.batches + run.recipe.epochs), f"moves{number}")

        def first() -> int:
            return (number * self.batches + moves.batch) * self.batch_size

        def step(drawn: Batch) -> Mapping[str, Tensor]:
            if moves.step == 0:
                if first() == 0:
                    album.begin()
                noise = torch.randn(shape, generator=run.generator("canvas"), device=run.device)
                canvas.start(noise)
                run.enroll("canvas", canvas, optim=adam)  # a new optimizer state
            losses = self._losses(
                run, canvas, statistics, drawn, album.targets(first(), self.batch_size), number
            )
            loss = torch.stack(list(losses.values())).sum()
            canvas.remember(loss)
            run.update(loss, "canvas")
            canvas.keep_in_range()
            if moves.step == self.steps - 1:
                album.write(canvas.pixels(), first())
            return losses

        def after_epoch() -> Mapping[str, float]:
            images = canvas.pixels().float() / 255
            if moves.batch % max(1, self.batches // 8) == 0:
                run.picture("inverted", images)
            target = album.targets(first(), self.batch_size).to(run.device)
            seen = run.see("teacher", Batch(torch.full_like(target, -1), {"image": images}, target))
            return {"train/meant": 100 * (seen.logits.argmax(dim=1) == target).float().mean().item()}

        return Phase(name, moves, step, self.batches, after_epoch, validate=False)

    def _losses(
        self,
        run: Run,
        canvas: Canvas,
        statistics: BatchNormStatistics,
        drawn: Batch,
        target: Tensor,
        number: int,
    ) -> Mapping[str, Tensor]:
        """The weighted losses of a batch of images; round ``number`` counts from 0."""
        down, right, mirror = drawn.inputs["image"][0].unbind()
        images = rolled(canvas(), move(down, self.jitter), move(right, self.jitter), mirror < self.flip)
        target = target.to(run.device)
        batch = Batch(torch.full_like(target, -1), {"image": images}, target)
        with statistics.reading() as moments:
            logits = run.see("teacher", batch).logits.float()
        seen = (images - canvas.mean) / canvas.std
        losses = {
            "class": self.class_weight * functional.cross_entropy(logits, target),
            "bn": self.bn_weight
            * statistics_loss((one.mean, one.var, one.running_mean, one.running_var) for one in moments),
            "tv": self.tv_weight * total_variation(seen),
            "l2": self.l2_weight * torch.linalg.vector_norm(seen),
        }
        if self.competition and number > 0:
            with run.evaluating("student"):
                student = run.see("student", batch).logits
                losses["competition"] = self.competition * competition_loss(student, logits)
        return losses

    def _teach(self, run: Run, batch: Batch) -> Mapping[str, Tensor]:
        teach = run.teach(batch)
        task = torch.stack([run.task(role, batch) for role in run.students]).sum()
        run.update(self.task_weight * task + self.teach_weight * teach, *run.students, "knowledge")
        return {"task": task, "teach": teach}


class Moves:
    """The data of a phase that makes one batch of images per epoch: random numbers for each step.

    Attributes:
        batch: number of the current batch, from 0 in this phase.
        step: number of the step within it.

    Each item holds three numbers in [0, 1), for the shift of the images; see :class:`kdzoo.api.Noise`.
    """

    def __init__(self, run: Run, steps: int, epochs_before: int, name: str) -> None:
        self._draws = Noise(run, steps, shape=(3,), batch_size=1, name=name)
        self._epochs_before = epochs_before
        self._start = 0
        self.batch = self.step = 0

    def __len__(self) -> int:
        return len(self._draws)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch, counted over all phases, and how many steps are skipped."""
        self.batch, self._start = epoch - self._epochs_before, start
        self._draws.set_epoch(epoch, start)

    def __iter__(self) -> Iterator[Batch]:
        for step, drawn in enumerate(self._draws, self._start):
            self.step = step
            yield drawn


def _statistics(run: Run) -> BatchNormStatistics:
    """The statistics of the teacher's BatchNorm layers.

    Raises:
        KdzooError: there is not exactly one teacher and one student, or the teacher has no BatchNorm.
    """
    if "teacher" not in run.roles or run.students != ("student",):
        raise KdzooError(
            f"algorithm 'deepinversion' makes images from the role 'teacher' for one student, and scheme "
            f"{run.recipe.scheme.name!r} has {', '.join(run.roles)}: take scheme 'offline', a knowledge and --teacher"
        )
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        raise KdzooError("algorithm 'deepinversion' makes its images in one process: take one device")
    return BatchNormStatistics(
        run.roles["teacher"],
        name=f"teacher {run.recipe.roles['teacher'].model!r}",
        needed_by="algorithm 'deepinversion'",
        instead="take a teacher with BatchNorm, such as a ResNet, or a method that works without, such as zskt",
    )
