"""One training run from its first file to its last: what happens around the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from kdzoo.api.observer import Event, Job, Observer, Preparing, RunEnded, RunFailed, RunStarted, Warned
from kdzoo.data.open import open_data
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.components import algorithm_of, knowledge_of, scheme_of
from kdzoo.engine.folder import RunFolder, finished
from kdzoo.engine.gallery import Gallery
from kdzoo.engine.listeners import Listener
from kdzoo.engine.loop import Loop
from kdzoo.engine.networks import Networks
from kdzoo.engine.outcome import measure, write_outcome
from kdzoo.engine.provenance import Clock, active_plugins
from kdzoo.engine.reporter import Reporter
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.seeds import derive_seed, seed_everything
from kdzoo.engine.teacher import recipe_hash, trained_teacher
from kdzoo.errors import KdzooError, NotFinite
from kdzoo.observers.dispatch import Observers
from kdzoo.observers.journal import Journal
from kdzoo.recipe.model import Recipe, RoleConfig
from kdzoo.recipe.writing import dump, write
from kdzoo.zoo import Zoo


class Session:
    """One run of a recipe.

    Args:
        recipe: what to run.
        place: where to.
        zoo: where components are found.
        job: what the run is for.
        fabric: device and processes.
        train: trains another recipe in another folder: the teacher's.
        listeners: are told what happens in the run.
    """

    def __init__(
        self,
        recipe: Recipe,
        place: RunFolder,
        zoo: Zoo,
        job: Job,
        fabric: Fabric,
        train: Callable[..., Mapping[str, Any]],
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.recipe, self.place, self.zoo, self.job, self.fabric = recipe, place, zoo, job, fabric
        self._train_other = train
        self._listeners = tuple(listeners)
        self._main = fabric.global_rank == 0
        self._journal: Journal | None = None
        self._before_start: list[Event] = []
        self.clock = Clock()
        self.found = [zoo.find(kind, component.name) for kind, component in recipe.components]
        self._observers = Observers(self._make_observers(), self._warn)

    def run(self) -> Mapping[str, Any]:
        """Train, measure, write; the result.

        What the user can mend is found before the first file is written, so that a refused run leaves nothing.
        """
        checkpoint = CheckpointFile(self.place.checkpoint, recipe_hash(self.recipe))
        try:
            saved = checkpoint.load(self.fabric.device)
            run = self._prepare()
            self._start(saved)
            seed_everything(derive_seed(self.recipe.seed, "run", self.fabric.global_rank))
            loop = Loop(run, checkpoint, self._bookkeeping)
            algorithm = algorithm_of(self.recipe, self.zoo)
            position = loop.train(algorithm, saved)
            result = measure(run, algorithm, position, self.teacher_accuracy)
            if self.networks.sources.get("teacher"):
                result["teacher_path"] = self.networks.sources["teacher"]
            result |= self.clock.result(self.fabric.device)
            result["plugins"] = active_plugins(one.plugin for one in self.found)
            if self._main:
                write_outcome(self.place, run, algorithm, self.data, self.found, self.networks, result)
            self.fabric.barrier()
            self._notify(RunEnded(self.place.path, result))
            return result
        except BaseException as error:
            with suppress(OSError, KdzooError):
                self._notify(RunFailed(f"{type(error).__name__}: {error}"))
            if (
                isinstance(error, KdzooError)
                and not isinstance(error, NotFinite)
                and not checkpoint.path.exists()
            ):
                self.place.clear()
            self.place.leave()
            raise
        finally:
            self._observers.close()

    def _prepare(self) -> TrainingRun:
        """Open the data, build and enroll the networks; teachers are trained here, if need be."""
        recipe, device = self.recipe, self.fabric.device
        torch.use_deterministic_algorithms(recipe.deterministic)
        self.data = open_data(
            recipe.data,
            seed=recipe.seed,
            device=device,
            channels_last=recipe.channels_last,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
            progress=lambda label, done, total: self._notify(Preparing(label, done, total)),
        )
        for note in self.data.notes:
            self._notify(Warned(note))
        for path in self.data.skipped:
            self._notify(Warned(f"{path}: unreadable image, left out"))
        self.networks = Networks(recipe, self.data, device, self._teacher)
        self.teacher_accuracy: dict[str, float] = {}
        scheme, knowledge = scheme_of(recipe, self.zoo), knowledge_of(recipe, self.zoo)
        gallery = Gallery(self.place.path, self._notify, writes=self._main)
        listeners = [Reporter(self._notify), *self._listeners]
        run = TrainingRun(
            recipe, self.data, self.fabric, scheme, knowledge, self.networks, gallery, listeners
        )
        scheme.enroll(run)
        return run

    def _start(self, saved: Mapping[str, Any] | None) -> None:
        """Begin the journal, or go on with it where the checkpoint was taken."""
        if saved is not None:
            self.clock.wall_before, self.clock.process_before = saved["seconds"]
        if not self._main:
            return
        if saved is None:
            self.place.metrics.unlink(missing_ok=True)  # rows of a run that had no checkpoint yet
        self._journal = Journal(self.place.metrics)
        if saved is not None:
            self._journal.truncate(saved["journal"])
        write(self.recipe, self.place.recipe)
        self._notify(RunStarted(self.place.path, self.job, dump(self.recipe), saved is not None))
        if saved is None:
            for event in self._before_start:
                self._journal.observe(event)

    def _notify(self, event: Event) -> None:
        """To the journal first: it is the source of truth."""
        if not self._main:
            return
        if self._journal is None:
            self._before_start.append(event)
        else:
            self._journal.observe(event)
        self._observers.observe(event)

    def _warn(self, message: str) -> None:
        if self._journal is not None:
            self._journal.observe(Warned(message))

    def _make_observers(self) -> Sequence[Observer]:
        names = self.recipe.observers if self._main else ()
        return [self.zoo.find("observer", name).component() for name in names]

    def _bookkeeping(self) -> dict[str, Any]:
        """What a checkpoint holds beside the training state."""
        position = self._journal.position() if self._journal is not None else 0
        return {"journal": position, "seconds": [self.clock.wall, self.clock.process]}

    def _teacher(self, role: str, config: RoleConfig) -> Path:
        def train_alone(recipe: Recipe, folder: Path) -> Mapping[str, Any]:
            job = Job(f"{role} {config.model}", "teacher", self.job.suite, self.job.tags[1:])
            return self._train_other(recipe, folder, zoo=self.zoo, job=job, resume=True, fabric=self.fabric)

        weights = trained_teacher(self.recipe, config, self._content_hash(config.modality), train_alone)
        result = finished(weights.parent)
        if result is not None:
            self.teacher_accuracy[role] = result["test/last"]
        return weights

    def _content_hash(self, modality: str) -> str:
        """Of the data that a teacher is trained on, which has its training images also where the run has none."""
        data = self.data
        if self.recipe.data.withhold_train:
            whole = self.recipe.data.model_copy(update={"withhold_train": False})
            data = open_data(whole, seed=self.recipe.seed, device=self.fabric.device)
        return data.content_hashes[modality]
