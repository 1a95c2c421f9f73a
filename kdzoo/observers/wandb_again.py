"""A wandb run out of a run's ``metrics.jsonl``, for a run whose tracker was lost, off, or somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kdzoo.errors import Damaged, Fault
from kdzoo.observers.journal import read_journal
from kdzoo.observers.wandb_client import TrackedRun
from kdzoo.observers.wandb_networks import networks_of
from kdzoo.places import cache_folder


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True)


class _Job(_Checked):
    name: str
    kind: str
    suite: str | None
    tags: list[str]


class _Recipe(_Checked):
    model_config = ConfigDict(extra="allow")

    roles: dict[str, dict[str, Any]] = {}


class _Start(_Checked):
    event: Literal["start"]
    job: _Job
    recipe: _Recipe


class _Epoch(_Checked):
    event: Literal["epoch"]
    epoch: int
    metrics: dict[str, float | None]


class _Picture(_Checked):
    event: Literal["picture"]
    name: str
    path: str
    epoch: int


class _Result(_Checked):
    event: Literal["result"]
    result: dict[str, Any]


class _Broken(_Checked):
    event: Literal["failed", "stopped"]


_ROW: TypeAdapter[Any] = TypeAdapter(
    Annotated[_Start | _Epoch | _Picture | _Result | _Broken, Field(discriminator="event")]
)
_LOGGED = ("start", "epoch", "picture", "result", "failed", "stopped")


def rows_to_log(folder: Path) -> list[dict[str, Any]]:
    """The rows of one wandb run that holds all of the run in ``folder``: from ``start`` to how it ended.

    A run that has not ended is logged as a failed one. Only files of the run, and a teacher in kdzoo's cache, are
    logged, whatever the rows name.

    Raises:
        KdzooError: the folder's ``metrics.jsonl`` cannot be read, or is not one that kdzoo wrote.
    """
    path = folder / "metrics.jsonl"
    rows = [row for row in read_journal(path) if row.get("event") in _LOGGED]
    for row in rows:
        try:
            _ROW.validate_python(row)
        except ValidationError as error:
            raise Damaged(f"{path}: a row {row['event']!r} is damaged ({Fault.first(error)})") from None
    started = [row for row in rows if row["event"] == "start"]
    if not started:
        raise Damaged(f"{path}: has no row 'start', so this is no run that could be logged")
    begin = {**started[-1], "resumed": False}  # a run of its own: what is in another one may be incomplete
    between = [row for row in rows if row["event"] == "epoch" or _is_ours(row, folder)]
    end = [row for row in rows if row["event"] not in ("epoch", "picture")][-1]
    if end["event"] in ("start", "failed"):
        end = {"event": "failed"}  # without its error: an alert of long ago is none
    elif end["event"] == "result":
        end = {**end, "networks": _networks(folder, begin, end["result"])}
    return [{**row, "folder": str(folder.absolute())} for row in (begin, *between, end)]


def log_again(folder: Path, into: Path | None = None) -> str:
    """Make a wandb run, under a new id, out of what ``folder`` holds.

    Args:
        folder: the run's.
        into: where the wandb run's files go, in ``wandb/``; WANDB_DIR comes first. Default: ``folder``.

    Returns:
        The run's address, or the command that uploads it.

    Raises:
        KdzooError: the folder holds no run.
        Lost: wandb failed.
    """
    rows = rows_to_log(folder)
    run = TrackedRun()
    for row in rows:
        run.send({**row, "into": str((into or folder).absolute())})
    run.wait()
    return run.where


def _is_ours(row: dict[str, Any], folder: Path) -> bool:
    return row["event"] == "picture" and _within(folder / row["path"], folder)


def _networks(folder: Path, begin: dict[str, Any], result: dict[str, Any]) -> dict[str, tuple[str, str]]:
    student, teacher = folder / "student", result.get("teacher_path")
    found = Path(teacher) if isinstance(teacher, str) and _within(Path(teacher), cache_folder()) else None
    return networks_of(
        begin["job"]["name"], begin["recipe"], student if _within(student, folder) else None, found
    )


def _within(path: Path, folder: Path) -> bool:
    """Whether a file or a folder exists, and it and all that it holds lies in ``folder``, links followed."""
    try:
        return path.exists() and all(
            one.resolve().is_relative_to(folder.resolve()) for one in _with_content(path)
        )
    except (OSError, ValueError):  # a name that no file can have, a link to itself
        return False


def _with_content(path: Path) -> Iterator[Path]:
    yield path
    yield from path.rglob("*")
