"""From a recipe to a finished folder: the one way in which anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from kdzoo.api.algorithm import Algorithm
from kdzoo.api.observer import Event, Job, Observer, Preparing, RunEnded, RunFailed, RunStarted, Warned
from kdzoo.api.scheme import Scheme
from kdzoo.backbone import Backbone
from kdzoo.data.open import open_data
from kdzoo.engine.card import student_card
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.classroom import Classroom
from kdzoo.engine.evaluate import accuracy
from kdzoo.engine.export import export_student
from kdzoo.engine.folder import RunFolder
from kdzoo.engine.loop import Loop, Position, with_weights
from kdzoo.engine.networks import Networks
from kdzoo.engine.provenance import Clock, active_plugins, git_commit, machine, peak_memory_mb, versions
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.seeds import derive_seed, seed_everything
from kdzoo.engine.teacher import recipe_hash, trained_teacher
from kdzoo.engine.weights import weights_hash
from kdzoo.errors import KdzooError
from kdzoo.observers.dispatch import Observers
from kdzoo.observers.journal import Journal
from kdzoo.recipe.model import Recipe, RoleConfig
from kdzoo.recipe.resolve import KINDS, dump, write
from kdzoo.zoo import Zoo
from kdzoo.zoo.hyperparameters import create


def make_fabric(recipe: Recipe, *, accelerator: str = "auto", devices: int = 1) -> Fabric:
    """Device, precision and processes; launches the other processes if ``devices`` is more than one."""
    strategy = "ddp" if devices > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=devices, strategy=strategy, precision=recipe.precision)
    fabric.launch()
    return fabric


def train(
    recipe: Recipe,
    folder: Path,
    *,
    zoo: Zoo,
    job: Job | None = None,
    resume: bool = False,
    fabric: Fabric | None = None,
) -> Mapping[str, Any]:
    """Run ``recipe`` to its end in ``folder`` and return its result, the last row of ``metrics.jsonl``.

    Args:
        recipe: a resolved recipe.
        folder: where everything is written.
        zoo: where components are found.
        job: what the run is for.
        resume: go on from the folder's checkpoint if it has one; a finished run returns its result at once.
        fabric: device and processes; default: one process on the best device.

    Raises:
        KdzooError: bad input, or a loss that is not finite; the folder keeps the last good checkpoint.
    """
    fabric = fabric or make_fabric(recipe)
    place = RunFolder(folder, resume=resume)
    done = place.result if resume else None
    if done is not None:
        return done
    job = job or Job(name=folder.name)
    return _Session(recipe, place, zoo, job, fabric).run()


def algorithm_of(recipe: Recipe, zoo: Zoo) -> Algorithm:
    """The recipe's algorithm, ready to run."""
    made: Algorithm = create(zoo.find("algorithm", recipe.algorithm.name), recipe.algorithm.settings)
    return made


def scheme_of(recipe: Recipe, zoo: Zoo) -> Scheme:
    """The recipe's scheme, ready to enroll."""
    made: Scheme = create(zoo.find("scheme", recipe.scheme.name), recipe.scheme.settings)
    return made


def classroom_of(recipe: Recipe, zoo: Zoo) -> Classroom:
    """A classroom in which the recipe's knowledge is taught."""
    if recipe.knowledge is None:
        return Classroom(None)
    return Classroom(partial(create, zoo.find("knowledge", recipe.knowledge.name), recipe.knowledge.settings))


class _Session:
    """One call of :func:`train`."""

    def __init__(self, recipe: Recipe, place: RunFolder, zoo: Zoo, job: Job, fabric: Fabric) -> None:
        self.recipe, self.place, self.zoo, self.job, self.fabric = recipe, place, zoo, job, fabric
        self.main = fabric.global_rank == 0
        self.clock = Clock()
        self.found = [
            zoo.find(kind, component.name)
            for kind in KINDS
            if (component := getattr(recipe, kind)) is not None
        ]

    def run(self) -> Mapping[str, Any]:
        checkpoint = CheckpointFile(self.place.checkpoint, recipe_hash(self.recipe))
        saved = checkpoint.load(self.fabric.device)
        if saved is None and self.place.metrics.exists() and self.main:
            self.place.metrics.unlink()  # rows of a run that was stopped before its first checkpoint
        self.fabric.barrier()
        self.journal = Journal(self.place.metrics) if self.main else None
        if saved is not None:
            self.clock.wall_before, self.clock.process_before = saved["seconds"]
            if self.journal is not None:
                self.journal.truncate(saved["journal"])
        self.observers = Observers(self._observers(), self._warn)
        try:
            write(self.recipe, self.place.recipe)
            self.notify(RunStarted(self.place.path, self.job, dump(self.recipe), saved is not None))
            result = self._train(checkpoint, saved)
            self.notify(RunEnded(self.place.path, result))
            return result
        except BaseException as error:
            with suppress(OSError, KdzooError):
                self.notify(RunFailed(f"{type(error).__name__}: {error}"))
            raise
        finally:
            self.observers.close()

    def notify(self, event: Event) -> None:
        """To the journal first: it is the source of truth."""
        if self.journal is not None:
            self.journal.observe(event)
            self.observers.observe(event)

    def _warn(self, message: str) -> None:
        if self.journal is not None:
            self.journal.observe(Warned(message))

    def _observers(self) -> Sequence[Observer]:
        names = self.recipe.observers if self.main else ()
        return [self.zoo.find("observer", name).component() for name in names]

    def _train(self, checkpoint: CheckpointFile, saved: dict[str, Any] | None) -> dict[str, Any]:
        recipe, device = self.recipe, self.fabric.device
        torch.use_deterministic_algorithms(recipe.deterministic)
        seed_everything(derive_seed(recipe.seed, "run", self.fabric.global_rank))
        self.data = open_data(
            recipe.data,
            seed=recipe.seed,
            device=device,
            channels_last=recipe.channels_last,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
            progress=lambda label, done, total: self.notify(Preparing(label, done, total)),
        )
        for note in self.data.notes:
            self.notify(Warned(note))
        for path in self.data.skipped:
            self.notify(Warned(f"{path}: unreadable image, left out"))
        self.networks = Networks(recipe, self.data, device, self._teacher)
        scheme = scheme_of(recipe, self.zoo)
        run = TrainingRun(
            recipe, self.data, self.fabric, scheme, classroom_of(recipe, self.zoo), self.networks
        )
        scheme.enroll(run)
        loop = Loop(run, self.notify, _Timed(checkpoint, self.clock), self._journal_position)
        position = loop.train(algorithm_of(recipe, self.zoo), saved)
        return self._finish(run, position)

    def _journal_position(self) -> int:
        return self.journal.position() if self.journal is not None else 0

    def _teacher(self, role: str, config: RoleConfig) -> Path:
        def train_alone(recipe: Recipe, folder: Path) -> Mapping[str, Any]:
            job = Job(f"{role} {config.model}", "teacher", self.job.suite, (*self.job.tags[1:],))
            return train(recipe, folder, zoo=self.zoo, job=job, resume=True, fabric=self.fabric)

        return trained_teacher(self.recipe, config, self.data.content_hash, train_alone)

    def _finish(self, run: TrainingRun, position: Position) -> dict[str, Any]:
        student = run.roles["student"]
        assert isinstance(student, Backbone)
        test = partial(accuracy, run, "student", self.data.test)
        result: dict[str, Any] = {
            "method": self.recipe.method,
            "seed": self.recipe.seed,
            "epochs": position.epochs_before,
            "test/last": test(),
            "val/last": position.last_val,
        }
        if position.chosen is not None:
            result["epoch/chosen"] = position.chosen.epoch
            result["val/chosen"] = position.chosen.val
            result["test/chosen"] = with_weights(run, position.chosen.weights, test)
        for role, member in run.members.items():
            if role != "student" and isinstance(member.module, Backbone):
                result[f"test/{role}"] = accuracy(run, role, self.data.test)
        result["parameters"] = sum(one.numel() for one in student.parameters())
        teachers = {
            name: member.module
            for name, member in run.members.items()
            if not member.learns and not member.stored
        }
        if "teacher" in self.networks.sources:
            result["teacher_path"] = self.networks.sources["teacher"]
        result["seconds"], result["process_seconds"] = self.clock.wall, self.clock.process
        result["peak_memory_mb"] = peak_memory_mb(self.fabric.device)
        if self.main:
            self.place.write_json(
                self.place.provenance,
                {
                    "versions": versions(),
                    "plugins": active_plugins(found.plugin for found in self.found),
                    "data": {"hash": self.data.hash, "skipped": list(self.data.skipped)},
                    "teachers": {
                        name: {"hash": weights_hash(module), "source": self.networks.sources.get(name)}
                        for name, module in teachers.items()
                    },
                    "unusual_modes": {
                        name: "train" if member.train_mode else "eval"
                        for name, member in run.members.items()
                        if member.train_mode is not None
                    },
                    "git": git_commit(),
                    "machine": machine(self.fabric.device),
                    "processes": self.fabric.world_size,
                    "wall_seconds": result["seconds"],
                    "process_seconds": result["process_seconds"],
                    "peak_memory_mb": result["peak_memory_mb"],
                    "student_hash": weights_hash(student),
                },
            )
            export_student(
                student,
                self.place.student,
                classes=self.data.classes,
                card=student_card(self.recipe, result),
            )
        self.fabric.barrier()
        return result


class _Timed(CheckpointFile):
    """Adds the time that the run has taken so far."""

    def __init__(self, file: CheckpointFile, clock: Clock) -> None:
        self._file, self._clock = file, clock

    def save(self, content: dict[str, Any]) -> None:
        self._file.save({**content, "seconds": [self._clock.wall, self._clock.process]})
