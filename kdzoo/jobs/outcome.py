"""The outcome of a finished run: its result, its provenance, the exported student."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdzoo.api.algorithm import Algorithm
from kdzoo.api.assembled import Assembled
from kdzoo.backbone import Backbone
from kdzoo.data.dataset import DataSet
from kdzoo.engine.confusion import MOST_CLASSES, confusion_picture
from kdzoo.engine.cost import latency, size
from kdzoo.engine.ema import with_weights
from kdzoo.engine.evaluate import accuracy, classifies
from kdzoo.engine.loop import Position
from kdzoo.engine.networks import Networks
from kdzoo.engine.predictions import predictions
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.weights import weights_hash
from kdzoo.files import write_json
from kdzoo.jobs.card import student_card
from kdzoo.jobs.export import export_student
from kdzoo.jobs.folder import RunFolder
from kdzoo.jobs.lineage import lineage_of
from kdzoo.jobs.probe import by_neighbours
from kdzoo.jobs.provenance import git_commit, machine, versions
from kdzoo.jobs.scheduled import scheduled_job
from kdzoo.jobs.suspicion import answers
from kdzoo.recipe.evaluation import WHOLE
from kdzoo.recipe.identity import Identity


def measure(
    run: TrainingRun, algorithm: Algorithm, position: Position, known: Mapping[str, float]
) -> dict[str, Any]:
    """Evaluate the last epoch and the one chosen by validation on the test split, under different names.

    Every figure is that of the exported student; if the last phase did not validate it, that is done here.
    Those of the last epoch come from one pass; the figures of each class are written to ``figures.json``.

    Args:
        run: the trained run.
        algorithm: its algorithm; it and the scheme may add figures.
        position: the position at the end of training.
        known: role -> test accuracy of teachers trained by kdzoo.
    """
    own, student = run.members.get("teacher"), run.members["student"].module
    number = len(run.data.classes) or (student.num_classes if isinstance(student, Backbone) else 0)
    grades = own is not None and not own.student and answers(own.module, number)
    teacher = "teacher" if grades else None
    result: dict[str, Any] = {
        "method": run.recipe.method,
        "seed": run.recipe.seed,
        "epochs": position.epochs_before,
    }
    if classifies(run.roles["student"]):
        result |= _accuracies(run, position, known, teacher)
    else:
        result |= dict.fromkeys(("test/last", "val/last", "test/macro_f1", "test/ece"))
        result |= by_neighbours(run)
    for component in (run.scheme, algorithm):
        with run.measuring():
            result |= component.measure(run)
    result["parameters"] = sum(one.numel() for one in run.roles["student"].parameters())
    networks = ("student",) if teacher is None else ("student", teacher)
    for measured in (size, latency):  # times last: nothing of this run is left to disturb them
        for role in networks:
            result |= measured(run, role)
    return result


def _accuracies(
    run: TrainingRun, position: Position, known: Mapping[str, float], teacher: str | None
) -> dict[str, Any]:
    """The figures of a student that classifies, with its pictures and its figures by class."""
    classes = run.data.classes
    last_val = position.last_val
    if last_val is None and run.data.val is not None and classes:
        last_val = accuracy(run, "student", run.data.val)
    found = predictions(run, run.data.test, teacher)
    result: dict[str, Any] = {"test/last": found.accuracy, "val/last": last_val}
    if position.chosen is not None:
        result["epoch/chosen"] = position.chosen.epoch
        result["val/chosen"] = position.chosen.val
        with with_weights(run.roles["student"], position.chosen.weights):
            result["test/chosen"] = accuracy(run, "student", run.data.test)
    if (unaveraged := run.members["student"].unaveraged) is not None:
        with with_weights(run.roles["student"], unaveraged):
            result["test/without_ema"] = accuracy(run, "student", run.data.test)
    if position.stopped:
        result["epoch/stopped"] = position.epochs_before
    for role, member in run.members.items():
        if role in known:
            result[f"test/{role}"] = known[role]
        elif role == teacher:
            result[f"test/{role}"] = found.teacher
        elif (
            role != "student"
            and classes
            and ((member.student and classifies(member.module)) or answers(member.module, len(classes)))
        ):
            result[f"test/{role}"] = accuracy(run, role, run.data.test)
    for role, member in run.roster.replaced.items():  # of the network: a derived role may know no test sample
        if role not in known and answers(member.module, len(classes)):
            with run.roster.as_enrolled(role):
                result[f"test/{role}"] = accuracy(run, role, run.data.test)
    for role, reached in known.items():
        result.setdefault(f"test/{role}", reached)
    result |= {f"work/{name}": number for name, number in sorted(run.work.counts.items())}
    if len(classes) > 5:
        result["test/top5"] = found.top5
    result |= {"test/macro_f1": found.macro_f1, "test/ece": found.ece}
    if teacher is not None:
        result["test/agreement"] = found.agreement
    if 0 < len(classes) <= MOST_CLASSES:
        run.picture("confusion", confusion_picture(found.confusion, classes))
    if run.fabric.global_rank == 0:
        write_json(run.folder / "figures.json", found.by_class(classes))
    return result


def _names(run: TrainingRun, student: Backbone | Assembled, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The class names in the order of the student's logits; numbers where nobody has named them."""
    if run.columns("student") or not classes:
        number = student.num_classes if isinstance(student, Backbone) else 0
        return student.label_names or tuple(map(str, range(number)))
    return classes


def write_outcome(
    place: RunFolder,
    run: TrainingRun,
    algorithm: Algorithm,
    data: DataSet,
    plugins: Mapping[str, str],
    networks: Networks,
    result: Mapping[str, Any],
    identity: Identity,
) -> None:
    """Write ``provenance.json``, which names all ``plugins`` that were used, and ``student/``."""
    student = run.members["student"]
    assert isinstance(student.module, Backbone | Assembled)

    def extend(folder: Path) -> str:
        with run.measuring():
            parts = [component.export(run, folder) for component in (run.scheme, algorithm)]
        return "\n\n".join(part for part in parts if part)

    frozen = {name: member for name, member in run.members.items() if not member.learns}
    write_json(
        place.provenance,
        {
            "identity": identity.key,
            "versions": versions(),
            "plugins": plugins,
            "data": {
                "hash": data.hash,
                "content": data.content_hash,
                "skipped": list(data.skipped),
                "withheld": run.recipe.data.withhold_train,
            },
            "teachers": {
                name: {"hash": weights_hash(member.module), "source": networks.sources.get(name)}
                for name, member in frozen.items()
            },
            "unusual_modes": {
                name: "train" if member.train_mode else "eval"
                for name, member in run.members.items()
                if member.train_mode is not None
            },
            "student_hash": weights_hash(student.module),
            "git": git_commit(),
            "machine": machine(run.device),
            "node": socket.gethostname(),
            "job": scheduled_job(),
            "processes": run.fabric.world_size,
            "wall_seconds": result["seconds"],
            "process_seconds": result["process_seconds"],
            "peak_memory_mb": result["peak_memory_mb"],
        },
    )
    export_student(
        student.module,
        place.student,
        classes=_names(run, student.module, data.classes),
        card=student_card(run.recipe, result, lineage_of(run)),
        image_shape=(data.channels[student.modality], data.img_size, data.img_size),
        evaluation=data.evaluation or WHOLE,
        extend=extend,
    )
