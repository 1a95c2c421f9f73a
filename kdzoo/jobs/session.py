"""One job from its first file to its last, around the training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from kdzoo.api.observer import (
    Event,
    Job,
    Noted,
    Observer,
    Preparing,
    RunEnded,
    RunFailed,
    RunStarted,
    RunStopped,
    Warned,
)
from kdzoo.backbone import find_model
from kdzoo.data.dataset import DataSet
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.components import algorithm_of, components_of, knowledge_of, reads_logits, scheme_of
from kdzoo.engine.gallery import Gallery
from kdzoo.engine.listeners import Listener
from kdzoo.engine.loop import Loop
from kdzoo.engine.metrics import metric_figures
from kdzoo.engine.networks import Networks
from kdzoo.engine.reinforced import AbsentTeacher
from kdzoo.engine.reporter import Reporter
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.store import Replays
from kdzoo.errors import KdzooError, NotFinite
from kdzoo.files import file_digest
from kdzoo.jobs.announcer import Announcer
from kdzoo.jobs.answers import open_store
from kdzoo.jobs.batch_size import settle
from kdzoo.jobs.folder import RunFolder, exported, finished
from kdzoo.jobs.identity import as_opened, facts_of, identity_of
from kdzoo.jobs.outcome import measure, write_outcome
from kdzoo.jobs.plan import Planned, plan_teacher
from kdzoo.jobs.preface import about_data, about_teachers
from kdzoo.jobs.provenance import Clock, data_plugins, distributions
from kdzoo.jobs.resources import Resources
from kdzoo.jobs.suspicion import near_chance, warned_or_refused
from kdzoo.jobs.teachers import is_trained, weights_of, why_anew
from kdzoo.jobs.unlabelled import check_needs_no_labels, untrained
from kdzoo.owner import NotOwner
from kdzoo.recipe.identity import Difference, Differs
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.roles import RoleConfig
from kdzoo.recipe.writing import dump, write
from kdzoo.seeds import derive_seed, seed_everything
from kdzoo.stopping import Stopped
from kdzoo.zoo.hyperparameters import create


class Session:
    """A running job: :meth:`open`, then :meth:`enroll` until no teacher is missing, then :meth:`run`.

    A context manager: observers get its errors, and after bad input a folder without a checkpoint is cleared.

    Args:
        planned: the job.
        place: its folder.
        resources: the shared resources.
        train_teacher: trains a teacher that an algorithm requests during training.
        listeners: listeners of the run.
        notes: warnings to give at the start.
    """

    def __init__(
        self,
        planned: Planned,
        place: RunFolder,
        resources: Resources,
        train_teacher: Callable[[Planned, Resources, Callable[[str], None]], None],
        listeners: Sequence[Listener] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self._notes = list(notes)
        self.planned, self.place, self.resources = planned, place, resources
        self._train_teacher = train_teacher
        self.recipe, self.fabric = planned.recipe, resources.fabric
        self.clock = Clock()
        self.found = components_of(self.recipe, resources.zoo)
        self.teacher_accuracy: dict[str, float] = {}
        self._teacher_files: dict[str, str | None] = {}
        self._teacher_folders: dict[str, Path] = {}
        self._new_teachers: set[str] = set()
        self._missing: list[Planned] | None = None
        self.store: Replays | None = None
        self.announcer = Announcer(self._observers(), main=resources.main)
        label = "teacher" if planned.weights_only else None
        reporter = Reporter(self._notify, label, self.announcer.wants_figures)
        self._listeners = [reporter, *listeners]

    def _observers(self) -> Iterator[Observer]:
        """Those that are installed; a resumed run may name others, as nobody's numbers depend on them."""
        for one in self.recipe.observers:
            try:
                found = self.resources.zoo.find("observer", one.name)
                made = found.component
            except KdzooError as error:
                self._notes.append(f"goes on without the observer {one.name!r}: {error}")
            else:
                yield create(found, one.settings) if one.settings else made()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.store is not None:
            self.store.close()
        if error is not None and not isinstance(error, NotOwner):  # else the files are another process's now
            with suppress(OSError, KdzooError):
                stopped = isinstance(error, Stopped)
                self.announcer.notify(
                    RunStopped(str(error)) if stopped else RunFailed(f"{type(error).__name__}: {error}")
                )
            mendable = isinstance(error, KdzooError) and not isinstance(error, NotFinite)
            if mendable and not any(self.place.checkpoint.glob("*.ckpt")):
                self.place.clear()
        self.announcer.close()

    def open(self) -> None:
        """Check that every role's model exists; open the data and the checkpoint.

        Raises:
            Differs: the checkpoint is that of another run.
            KdzooError: a model is unknown, or the data or the checkpoint cannot be opened.
        """
        tell = self.announcer.notify
        for role in self.recipe.roles.values():
            find_model(role.model, self.resources.zoo)
        self.recipe, self.data, chosen = settle(self.recipe, self._open, self.resources)
        if chosen is not None:
            tell(Noted(chosen))
        if self.recipe.early_stopping.patience is not None and self.data.val is None:
            raise KdzooError(
                "early_stopping.patience needs a validation split, for the test split has no part in training: set "
                "data.val_fraction, or add val/ to the folder"
            )
        if self.data.unlabelled or not self.data.classes:
            check_needs_no_labels(self.recipe, self.resources.zoo)
        if not self.planned.weights_only:  # the run that needs the teacher has said it
            size, processes = self.recipe.data.batch_size, self.fabric.world_size
            for note in (*self.data.notes, *about_data(self.data, size, processes)):
                tell(Noted(note))
            for path, reason in self.data.unreadable.items():
                tell(Warned(f"{path}: unreadable image, left out: {reason}"))
        self.identity = identity_of(
            self.recipe,
            facts_of(self.data),
            self.found,
            processes=self.fabric.world_size,
            weights_only=self.planned.weights_only,
        )
        if not self.planned.tests:
            self.data = _untested(self.data)
        self.checkpoint = CheckpointFile(self.place.checkpoint, self.identity)
        self.saved = self.checkpoint.load(self.fabric.device)
        if (
            self.planned.weights_only
            and self.saved is None
            and (why := why_anew(self.planned, self.identity))
        ):
            tell(why)

    def enroll(self) -> list[Planned]:
        """Build and enroll the networks; the jobs of the teachers that have to be trained first.

        While there are any, the networks are dropped again: this enrolment was only to find the scheme's
        teachers, and mistakes before hours are spent on training them.
        """
        torch.use_deterministic_algorithms(self.recipe.deterministic)
        self._missing = []
        run, loop = self._build()
        run.scheme.enroll(run)
        missing: list[Planned] = self.fabric.broadcast(self._missing)
        if missing:
            return missing
        self._missing = None
        self.training, self.loop = run, loop
        return []

    def run(self) -> Mapping[str, Any]:
        """Train, measure, write; the result."""
        run, saved, place = self.training, self.saved, self.place
        if saved is not None:
            self.clock.wall_before, self.clock.process_before = saved["seconds"]
        self.announcer.begin(place.metrics, saved["journal"] if saved is not None else None)
        if self.resources.main:
            write(as_opened(self.recipe, self.data), place.recipe)
            self.identity.write(place.path)
        self.announcer.notify(
            RunStarted(
                place.path,
                self.planned.job,
                dump(as_opened(self.recipe, self.data)),
                resumed=saved is not None,
            )
        )
        damaged = [f"{one}; goes on from the checkpoint before it" for one in self.checkpoint.damaged]
        for note in (*self._notes, *damaged):
            self.announcer.notify(Warned(note))
        for name, before in (saved["identity"]["notes"] if saved is not None else {}).items():
            if (now := self.identity.notes.get(name)) != before:
                note = f"begun with {name} {before}, now {now}: the last bits of a number may differ"
                self.announcer.notify(Warned(note))
        teachers = self.teacher_accuracy, self._teacher_folders, self._new_teachers
        for note in (*self.networks.notes.values(), *about_teachers(self.recipe.roles, *teachers)):
            self.announcer.notify(Noted(note))
        for note in self._doubts():
            self.announcer.notify(Warned(note))
        seed_everything(derive_seed(self.recipe.seed, "run", self.fabric.global_rank))
        algorithm = algorithm_of(self.recipe, self.resources.zoo)
        position = self.loop.train(algorithm, saved)
        if position.stopped:
            settings, waited = self.recipe.early_stopping, position.waited
            why = (
                f"{settings.metric} has not risen in {waited} validation{'s' * (waited > 1)} (early_stopping)"
            )
            self.announcer.notify(Noted(f"stopped after epoch {position.epochs_before}: {why}"))
        if self.recipe.data.class_weights and "class_weights" not in vars(run):
            name = self.recipe.algorithm.name
            self.warn(f"data.class_weights had no effect: algorithm {name!r} has a task loss of its own")
        result = measure(run, algorithm, position, self.teacher_accuracy)
        for name, figure in metric_figures(run, self.resources.zoo, self.data.test):
            if isinstance(figure, str):
                self.warn(f"the metric {name!r} has no figure: {figure}")
            else:
                result[f"test/{name}"] = figure
        if not self.planned.tests:
            kept = {name: figure for name, figure in result.items() if not name.startswith("test/")}
            result = {**kept, "test/last": None}
        if (teacher := self.networks.path("teacher")) is not None:
            result["teacher_path"] = str(teacher)
        if self.store is not None:
            self.store.close()
            result |= self.store.figures()
        result |= self.clock.result(self.fabric.device)
        result["plugins"] = distributions(one.plugin for one in self.found if one.kind != "backbone")
        self.place.owner.check()
        if self.resources.main:
            brought = data_plugins(self.recipe, self.resources.zoo)
            plugins = distributions([*(one.plugin for one in self.found), *brought])
            write_outcome(place, run, algorithm, self.data, plugins, self.networks, result, self.identity)
            result["files"] = exported(place.student)
        self.fabric.barrier()
        self.announcer.notify(RunEnded(place.path, result))
        if self.resources.main:
            self.checkpoint.forget_previous()
        return result

    def _doubts(self) -> Iterator[str]:
        """Warnings before the training."""
        if self.saved is not None:
            return
        if (world := self.fabric.world_size) > 1:
            images, optim = self.recipe.data.batch_size, self.recipe.optim
            scales = "" if optim.lr_base else " as for one (optim.lr_base scales it)"
            yield f"{world} processes of {images} images: {world * images} a step; lr {optim.lr:g}{scales}"
        yield from warned_or_refused(near_chance(self.training, self.teacher_accuracy))

    def _notify(self, event: Event) -> None:
        self.place.owner.check()
        self.announcer.notify(event)

    def _open(self, recipe: Recipe) -> DataSet:
        return self.resources.open(recipe, self._progress, self.warn)

    def _progress(self, label: str, done: int, total: int) -> None:
        self.announcer.notify(Preparing(label, done, total))

    def warn(self, message: str) -> None:
        """Tell the observers of something that is not as usual; the run goes on."""
        self.announcer.notify(Warned(message))

    def _build(self) -> tuple[TrainingRun, Loop]:
        """The run, before any enrolment, and its loop."""
        recipe, zoo, tell = self.recipe, self.resources.zoo, self.announcer.notify
        self.networks = Networks(
            recipe, self.data, self.fabric.device, self._teacher, zoo, reads_logits=reads_logits(recipe, zoo),
            absent=AbsentTeacher.of(self.data),
        )  # fmt: skip
        scheme, knowledge = scheme_of(recipe, zoo), knowledge_of(recipe, zoo)
        gallery = Gallery(self.place.path, tell, writes=self.resources.main)
        self.store = open_store(recipe, self.identity, self.data, self.fabric, self.warn)
        run = TrainingRun(
            recipe, self.data, self.fabric, scheme, knowledge, self.networks, gallery, self._listeners,
            self.store,
        )  # fmt: skip
        return run, Loop(run, self.checkpoint, self._bookkeeping, self.resources.stop)

    def _bookkeeping(self) -> dict[str, Any]:
        """The content of a checkpoint in addition to the training state."""
        self.place.owner.check()
        return {
            "journal": self.announcer.position(),
            "seconds": [self.clock.wall, self.clock.process],
            "teachers": self._teacher_files,
        }

    def _teacher(self, role: str, config: RoleConfig) -> Path | None:
        """The folder of a trained teacher's weights; None if it has to be trained first, by another job.

        Raises:
            Differs: the checkpoint was taken with another teacher.
        """
        if self.data.unlabelled or not self.data.classes:
            raise untrained(role, config)
        tags = self.planned.job.tags[1:]
        job = Job(f"{role} {config.model}", "teacher", self.planned.job.suite, tags)
        planned = plan_teacher(self.recipe, config, job, self.resources, self._progress, self.warn)
        if not is_trained(planned):
            self._new_teachers.add(role)
            if self._missing is not None:
                self._missing.append(planned)
                return None
            self._train_teacher(planned, self.resources, self.warn)
        weights, self._teacher_folders[role] = weights_of(planned), planned.folder
        now = self._teacher_files[role] = file_digest(weights / "model.safetensors")
        before = (self.saved or {}).get("teachers", {}).get(role, now)
        if before != now:
            difference = Difference(f"roles.{role}.weights", before, now)
            raise Differs(f"{self.place.path}: cannot resume", [difference])
        result = finished(planned.folder)
        if result is not None and result["test/last"] is not None:
            self.teacher_accuracy[role] = result["test/last"]
        return weights


def _untested(data: DataSet) -> DataSet:
    """The data with the validation split in place of the test split, for a run that chooses settings.

    Raises:
        KdzooError: there is no validation split.
    """
    if data.val is None:
        raise KdzooError("tuning needs a validation split: set data.val_fraction, or add val/ to the folder")
    return replace(data, test=data.val)
