"""The training loop: phases, epochs, steps, validation, checkpoints."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, NoReturn, cast

import torch
from torch import Tensor

from kdzoo.api.algorithm import Algorithm, Phase
from kdzoo.api.batch import Batch
from kdzoo.engine.average import average_buffers, batch_norms
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.ema import copied
from kdzoo.engine.evaluate import accuracy, classifies
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.engine.run import TrainingRun
from kdzoo.errors import Damaged, KdzooError, NotFinite, UnknownName
from kdzoo.seeds import capture, restore
from kdzoo.stopping import Stop, Stopped

_STEPS_BETWEEN_LOOKS = 50
"""Interval at which the loop reads results from a GPU: each read makes the host wait."""


@dataclass
class Chosen:
    """The epoch chosen by validation, and the student's weights after it."""

    epoch: int
    val: float
    weights: dict[str, Tensor]


@dataclass
class Position:
    """How far a run has come."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    steps: int = 0  # over all phases
    epochs_before: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    last_val: float | None = None
    chosen: Chosen | None = None
    best: float | None = None
    waited: int = 0  # validations since the best one of the phase
    stopped: bool = False

    @property
    def total_epochs(self) -> int:
        """Epochs completed over all phases."""
        return self.epochs_before + self.epoch

    def dump(self) -> dict[str, Any]:
        """As tensors and plain values."""
        return {**vars(self), "chosen": vars(self.chosen) if self.chosen else None}

    @classmethod
    def load(cls, saved: dict[str, Any]) -> Position:
        """The inverse of :meth:`dump`.

        Raises:
            KeyError, TypeError: ``saved`` is not what it returned.
        """
        if not all(isinstance(saved[name], int) for name in ("phase", "epoch", "step", "epochs_before")):
            raise TypeError("phase, epochs and steps are whole numbers")
        return cls(**{**saved, "chosen": Chosen(**saved["chosen"]) if saved["chosen"] else None})


_ONE_VALUE = "Expected more than 1 value per channel when training"
"""The error of torch's batch normalisation for a single sample that has one pixel in that layer."""


class Loop:
    """Drives an algorithm's phases. One instance for one run.

    Args:
        run: the run, with its listeners.
        checkpoint: where the state is kept.
        bookkeeping: further content of a checkpoint.
        stop: asks the loop to save and stop.
    """

    def __init__(
        self,
        run: TrainingRun,
        checkpoint: CheckpointFile,
        bookkeeping: Callable[[], dict[str, Any]],
        stop: Stop | None = None,
    ) -> None:
        self.run = run
        self.checkpoint = checkpoint
        self.bookkeeping = bookkeeping
        self.stop = stop or Stop()
        self.position = Position()
        self._saved_at = time.monotonic()

    def train(self, algorithm: Algorithm, saved: dict[str, Any] | None) -> Position:
        """Run every phase to its end, from the checkpoint ``saved`` if there is one.

        Raises:
            NotFinite: a loss became NaN or infinite.
            Damaged: ``saved`` does not fit the recipe.
            Stopped: it was asked to stop; the state is saved.
        """
        with self.stop.waiting():
            return self._train(algorithm, saved)

    def _train(self, algorithm: Algorithm, saved: dict[str, Any] | None) -> Position:
        done = 0
        if saved is not None:
            try:
                self.position = Position.load(saved["position"])
            except (KeyError, TypeError) as error:
                raise Damaged(f"{self.checkpoint.path}: no position in the training: {error}") from None
            self.run.state.update(saved["state"])
            done = self.position.phase
        names: set[str] = set()
        self.run.listeners.tell(Listener.run_began)
        for number, phase in enumerate(algorithm.phases(self.run)):
            if phase.name in names:
                raise KdzooError(f"algorithm {algorithm.name!r} has two phases called {phase.name!r}")
            names.add(phase.name)
            if number < done:
                continue
            self.run.phase = phase.name
            self.run.begin_phase(phase.epochs, _steps(phase))
            if saved is not None and number == done:
                self._restore(phase, saved)
                saved = None
            else:
                self.position.phase, self.position.epoch, self.position.step = number, 0, 0
                # Between phases the task or the network may change: only the last phase's epochs count.
                self.position.chosen, self.position.last_val = None, None
                self.position.best, self.position.waited, self.position.stopped = None, 0, False
            self._phase(phase)
            self.position.epochs_before += self.position.epoch
            self.position.epoch = 0
        if saved is not None:
            raise Damaged(
                f"{self.checkpoint.path}: taken in phase {done + 1}, which this recipe does not have"
            )
        self.run.listeners.tell(Listener.run_ended)
        return self.position

    def _restore(self, phase: Phase, saved: dict[str, Any]) -> None:
        at, steps = self.position, _steps(phase)
        if not (0 <= at.epoch <= phase.epochs and 0 <= at.step < max(steps, 1)):
            raise Damaged(
                f"{self.checkpoint.path}: taken in epoch {at.epoch}, step {at.step} of phase {phase.name!r}, "
                f"which has {phase.epochs} epochs of {steps} steps"
            )
        self.run.restore(saved["run"], at.epoch * steps + at.step)
        try:
            restore(saved["rng"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise Damaged(f"{self.checkpoint.path}: random numbers without a state: {error}") from None

    def _phase(self, phase: Phase) -> None:
        at = self.position
        self.run.listeners.tell(Listener.phase_began, phase, _steps(phase), at.epoch)
        while at.epoch < phase.epochs and not at.stopped:
            self.run.gallery.epoch = at.total_epochs + 1
            started = time.monotonic()
            for batch in self._batches(phase):
                self._step(phase, batch)
            self._end_epoch(phase, time.monotonic() - started)
        self.run.end_phase()
        self._save()
        self.run.listeners.tell(Listener.phase_ended, phase)

    def _batches(self, phase: Phase) -> Iterator[Batch]:
        at = self.position
        set_epoch = getattr(phase.data, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(at.total_epochs, at.step)
        try:
            batches = iter(phase.data) if set_epoch is not None else islice(phase.data, at.step, None)
            first = list(islice(batches, 1))
            if set_epoch is not None:  # whoever else goes through it, also within this epoch, sees all of it
                set_epoch(at.total_epochs, 0)
            yield from first
            yield from batches
        except Exception:
            if self.stop.asked is None:
                raise
            self._save_and_stop()  # the signal also reached the processes that load the data

    def _step(self, phase: Phase, batch: Batch) -> None:
        at, run = self.position, self.run
        moment = Moment(phase.name, at.total_epochs + 1, at.step + 1, at.steps + 1)
        batch = run.begin_step(at.epoch * _steps(phase) + at.step, batch)
        run.listeners.tell(Listener.step_began, batch, moment)
        try:
            figures = {
                **phase.step(batch),
                **{f"teach/{name}": one for name, one in run.lessons.part_losses.items()},
            }
        except ValueError as error:
            if not str(error).startswith(_ONE_VALUE):
                raise
            raise KdzooError(
                "data.batch_size: a batch of one sample, on which a network with batch normalisation cannot train; "
                "use two or more"
            ) from None
        run.listeners.tell(Listener.step_ended, batch, figures, moment)
        for name, value in figures.items():
            value = value.detach().float()
            at.sums[name] = at.sums[name] + value if name in at.sums else value
        run.end_step()
        at.step, at.steps = at.step + 1, at.steps + 1
        if run.device.type == "cpu" or at.step % _STEPS_BETWEEN_LOOKS == 0:
            self._look()
        if at.step < _steps(phase) and run.updates.complete:
            if time.monotonic() - self._saved_at > run.recipe.checkpoint_seconds:
                self._save()
            self._heed_stop()

    def _heed_stop(self) -> None:
        """Save and stop if this process or, where that can be asked without a wait, another one is asked to."""
        asked, fabric = self.stop.asked is not None, self.run.fabric
        if fabric.world_size > 1:
            step, group = self.position.step, self.run.recipe.optim.grad_accum_steps
            looked = step // _STEPS_BETWEEN_LOOKS != max(step - group, 0) // _STEPS_BETWEEN_LOOKS
            if self.run.device.type != "cpu" and step and not looked:
                return
            flag = torch.tensor(float(asked), device=self.run.device)
            asked = bool(cast(Tensor, fabric.all_reduce(flag, reduce_op="sum")) > 0)
        if asked:
            self._save_and_stop()

    def _save_and_stop(self) -> NoReturn:
        at = self.position
        where = f"after epoch {at.total_epochs}, step {at.step} of the next"
        if at.step and not self.run.updates.complete:  # gradients that no checkpoint holds
            where += "; goes on from the checkpoint before"
        else:
            self._save()
            where += "; saved"
        raise Stopped(self.stop.asked or signal.SIGTERM, where)

    def _look(self) -> None:
        if not bool(self.run.finite):
            at = self.position
            raise NotFinite(
                f"the loss is not finite in epoch {at.total_epochs + 1}, step {at.step}; the last good checkpoint "
                f"is kept. A smaller --lr, --clip-grad 1 or more warm-up usually helps"
            )

    def _end_epoch(self, phase: Phase, seconds: float) -> None:
        at, run = self.position, self.run
        self._look()
        connectors = (role.module for role in run.connectors.values())
        averages = [
            one.moving_average.buffers(one.module)
            for one in run.members.values()
            if one.moving_average is not None
        ]
        average_buffers(run.fabric, [*run.roles.values(), *batch_norms(connectors)], chain(*averages))
        metrics = {f"train/{name}": float(total) / max(at.step, 1) for name, total in at.sums.items()}
        at.epoch, at.step, at.sums = at.epoch + 1, 0, {}
        last = at.epoch == phase.epochs
        due = last or at.epoch % run.recipe.eval_every == 0
        if phase.validate and due and run.data.val is not None and run.data.classes:
            metrics |= self._validate()
        run.gallery.epoch = at.total_epochs
        if phase.after_epoch is not None:
            with run.averaged(), run.measuring():
                metrics |= phase.after_epoch()
        if run.lr is not None:
            metrics["lr"] = run.lr
        metrics["seconds"] = seconds
        run.listeners.tell(Listener.epoch_ended, phase, at.total_epochs, metrics)
        self._mind_patience(phase, metrics)
        if not last and time.monotonic() - self._saved_at > run.recipe.checkpoint_seconds:
            self._save()
        self._heed_stop()

    def _mind_patience(self, phase: Phase, metrics: Mapping[str, float]) -> None:
        """End the phase if its validation figure has not risen for so long as the recipe waits."""
        at, settings = self.position, self.run.recipe.early_stopping
        value = metrics.get(settings.metric)
        if settings.patience is None:
            return
        if value is None:  # a later phase without this figure is trained whole
            if at.phase == 0 and "val/accuracy" in metrics:
                raise KdzooError(f"early_stopping.metric: {UnknownName('figure', settings.metric, metrics)}")
            return
        if at.best is None or value > at.best:
            at.best, at.waited = value, 0
        else:
            at.waited += 1
        at.stopped = at.waited >= settings.patience and at.epoch < phase.epochs

    def _validate(self) -> dict[str, float]:
        """The accuracy of each student, of its averaged weights where the recipe averages them, and also without."""
        at, run = self.position, self.run
        with run.averaged() as averaged:
            metrics = self._accuracies("val/accuracy")
            at.last_val = metrics.get("val/accuracy")
            if at.last_val is not None and (at.chosen is None or at.last_val > at.chosen.val):
                at.chosen = Chosen(at.total_epochs, at.last_val, copied(run.roles["student"].state_dict()))
        return metrics | (self._accuracies("val/accuracy_without_ema") if averaged else {})

    def _accuracies(self, name: str) -> dict[str, float]:
        run = self.run
        assert run.data.val is not None
        found = {
            name if role == "student" else f"{name}/{role}": accuracy(run, role, run.data.val)
            for role in run.students
            if classifies(run.roles[role])
        }
        return {name: value for name, value in found.items() if value is not None}

    def _save(self) -> None:
        self._look()
        self._saved_at = time.monotonic()
        if self.run.fabric.global_rank != 0:
            return
        self.checkpoint.save(
            {
                "position": self.position.dump(),
                "state": self.run.state,
                "run": self.run.state_dict(),
                "rng": capture(),
                **self.bookkeeping(),
            }
        )


def _steps(phase: Phase) -> int:
    try:
        return len(phase.data)  # type: ignore[arg-type]  # an Iterable may lack it, which is what we ask
    except TypeError:
        raise KdzooError(
            f"phase {phase.name!r}: its data needs a length, the number of steps in an epoch, for the schedule"
        ) from None
