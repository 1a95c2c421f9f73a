"""``plan.jsonl``: the tasks of a suite, one a line, so that a job finds its own without planning the suite again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kdzoo.bench.task import Task
from kdzoo.errors import Fault, KdzooError, UnknownName
from kdzoo.files import replace_file
from kdzoo.jobs.teacher_folder import teacher_folder

PLAN_FILE = "plan.jsonl"

_TASK = TypeAdapter(Task)


@dataclass(frozen=True)
class Planned:
    """What a listing tells of a task, without the recipe.

    Attributes:
        key: the task's key.
        name: its job's.
        epochs: its length.
        run: the folder of the run; of a teacher that is in the cache.
        after: keys of the tasks that it waits for.
    """

    key: str
    name: str
    epochs: int
    run: Path
    after: tuple[str, ...]


def write_plan(folder: Path, tasks: Iterable[Task]) -> None:
    """Write the tasks in the order of their keys' needs; whole or not at all.

    Raises:
        KdzooError: the file cannot be written.
    """

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8") as file:
            file.writelines(map(_line, tasks))

    replace_file(folder / PLAN_FILE, write)


def listed(folder: Path) -> Iterator[Planned]:
    """Every task of the plan in ``folder``, in order.

    Raises:
        KdzooError: there is none, or a line of it is damaged.
    """
    for key, brief, _ in _lines(folder):
        try:
            name, epochs, run, after = json.loads(brief)
            yield Planned(key, str(name), int(epochs), folder / run, tuple(map(str, after)))
        except (ValueError, TypeError):
            raise KdzooError(f"{folder / PLAN_FILE}: the line of {key} is damaged") from None


def read_tasks(folder: Path, keys: Sequence[str]) -> list[Task]:
    """The tasks of these keys, in their order, with ``folder`` as the suite's.

    Raises:
        KdzooError: there is no plan, or a task of it is damaged.
        UnknownName: it has no task of a key.
    """
    wanted, found, known = set(keys), {}, []
    for key, _, content in _lines(folder):
        known.append(key)
        if key in wanted:
            found[key] = _task(folder, key, content)
            if len(found) == len(wanted):
                break
    for key in keys:
        if key not in found:
            raise UnknownName("job", key, known, of=str(folder))
    return [found[key] for key in keys]


def _line(task: Task) -> str:
    run = task.key
    if task.teaches is not None:
        run = str(teacher_folder(task.recipe.roles[task.teaches], task.identity))
    brief = [task.job.name, task.epochs, run, sorted(task.after)]
    content: Any = _TASK.dump_python(task, mode="json", exclude_unset=True)
    return "\t".join([task.key, json.dumps(brief), json.dumps(content)]) + "\n"


def _task(folder: Path, key: str, content: str) -> Task:
    try:
        task = _TASK.validate_python(json.loads(content))
    except (ValueError, ValidationError) as error:
        why = Fault.first(error) if isinstance(error, ValidationError) else error
        raise KdzooError(f"{folder / PLAN_FILE}: the line of {key} is damaged: {why}") from None
    return replace(task, folder=folder / key)


def _lines(folder: Path) -> Iterator[tuple[str, str, str]]:
    path = folder / PLAN_FILE
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                parts = line.rstrip("\n").split("\t")
                if len(parts) != 3:
                    raise KdzooError(f"{path}, line {number}: not a task")
                yield parts[0], parts[1], parts[2]
    except FileNotFoundError:
        raise KdzooError(
            f"{folder}: no plan of jobs ({PLAN_FILE}); kdzoo bench SUITE --cluster slurm and kdzoo bench plan SUITE "
            "--commands write one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise KdzooError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
