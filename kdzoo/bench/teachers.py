"""The teachers of a suite in a folder with an index, so that several groups compare with the same weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter

from kdzoo.bench.crew import Crew
from kdzoo.bench.ledger import write_json
from kdzoo.bench.planner import Planner
from kdzoo.bench.pool import Pool
from kdzoo.bench.recorded import Percent, read_json, recorded
from kdzoo.bench.work import work
from kdzoo.errors import KdzooError
from kdzoo.files import inside, sha256_of
from kdzoo.recipe.section import Section
from kdzoo.registry.model import Suite
from kdzoo.version import __version__

INDEX_FILE = "teachers.json"

_SECONDS_BETWEEN_LOOKS = 1.0


class PublishedTeacher(Section):
    """A teacher: its model, its file below the folder with the sha256, its test accuracy in percent."""

    model: str
    file: str
    sha256: str
    test: Percent | None = None


class TeacherIndex(Section):
    """The teachers of a suite by the names of its pairs."""

    suite: str
    kdzoo: str
    pairs: dict[str, PublishedTeacher]


def train_teachers(planner: Planner, crew: Crew, tell: Callable[[str], None]) -> Path:
    """Train the teachers of all pairs, as far as the cache lacks them, and copy them into the suite's folder.

    Returns:
        The path of the index.

    Raises:
        KdzooError: the suite trains no teacher, one cannot be trained, or the folder cannot be written.
    """
    plan = planner.plan()
    pairs: dict[str, str] = {run.entry.pair: key for run in plan.runs for key in run.task.after}
    if not pairs:
        raise KdzooError(f"suite {planner.name} trains no teacher: its weights are downloaded or given")
    folders: dict[str, Path] = {}
    waiting = [plan.teachers[key] for key in dict.fromkeys(pairs.values())]
    total = len(waiting)
    with Pool(work, crew.environments, logs=planner.output / "logs") as pool:
        while len(folders) < total:
            while pool.idle and waiting:
                task = waiting.pop(0)
                pool.submit(task.key, task)
            for outcome in pool.wait(_SECONDS_BETWEEN_LOOKS):
                if outcome.error is not None or outcome.value is None:
                    raise KdzooError(f"{plan.teachers[outcome.key].job.name}: {outcome.error}")
                folders[outcome.key] = Path(outcome.value["folder"])
                tell(f"{plan.teachers[outcome.key].job.name}, {len(folders)} of {total}")
    found = {pair: _copied(planner, pair, folders[key]) for pair, key in pairs.items()}
    index = TeacherIndex(suite=planner.name, kdzoo=__version__, pairs=found)
    path = planner.output / INDEX_FILE
    write_json(path, index.model_dump(mode="json"))
    return path


def with_teachers(suite: Suite, folder: Path) -> Suite:
    """The suite with the teachers of a folder as checkpoints.

    Raises:
        KdzooError: no index, a pair without a teacher, another model, or a file that is not the one of the index.
    """
    folder = folder.expanduser().resolve()
    index = read_json(folder / INDEX_FILE, TypeAdapter(TeacherIndex))
    pairs = []
    for pair in suite.pairs:
        found = index.pairs.get(pair.label)
        if found is None:
            known = ", ".join(index.pairs)
            raise KdzooError(f"{folder / INDEX_FILE}: no teacher of the pair {pair.label}; it has {known}")
        if found.model != pair.teacher.model:
            raise KdzooError(
                f"{folder / INDEX_FILE}: the teacher of {pair.label} is {found.model}, "
                f"the suite's {pair.teacher.model}"
            )
        file = inside(folder, found.file)
        if sha256_of(file) != found.sha256:
            raise KdzooError(f"{file}: not the weights that {INDEX_FILE} describes: its sha256 differs")
        update = {"checkpoint": file, "pretrained": False}
        pairs.append(pair.model_copy(update={"teacher": pair.teacher.model_copy(update=update)}))
    return suite.model_copy(update={"pairs": tuple(pairs)})


def _copied(planner: Planner, pair: str, trained: Path) -> PublishedTeacher:
    source = trained / "student" / "model.safetensors"
    name = f"{trained.name}.safetensors"
    target = planner.output / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise KdzooError(f"{target}: cannot be written: {error.strerror or error}") from None
    result = recorded(trained).result
    return PublishedTeacher(
        model=planner.pairs[pair].teacher.model,
        file=name,
        sha256=sha256_of(target) or "",
        test=None if result is None else result.last,
    )
