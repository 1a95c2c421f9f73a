"""What a run wrote of itself, checked before anything is made of it: ``metrics.jsonl`` and ``provenance.json``."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kdzoo.errors import Fault, KdzooError
from kdzoo.observers.journal import read_journal

_HUGE = 1e15

HEADLINE = "test/last"
"""The usual main figure: accuracy in percent on the test split, at the last epoch."""

Percent = Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)]
Amount = Annotated[float, Field(strict=True, ge=0, le=_HUGE, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0, le=_HUGE)]


class _Record(BaseModel):
    """Newer versions may write more than this one knows."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class Result(_Record):
    """With what a run ended; accuracies in percent. What a method added is in ``further``.

    Without labels there is no accuracy.
    """

    last: Percent | None = Field(alias="test/last")
    chosen: Percent | None = Field(None, alias="test/chosen")
    teacher: Percent | None = Field(None, alias="test/teacher")
    val_last: Percent | None = Field(None, alias="val/last")
    val_chosen: Percent | None = Field(None, alias="val/chosen")
    epoch_chosen: Count | None = Field(None, alias="epoch/chosen")
    seconds: Amount
    process_seconds: Amount
    peak_memory_mb: Amount
    parameters: Count
    plugins: dict[str, str] = Field(default_factory=dict)
    teacher_path: str | None = None

    @property
    def further(self) -> dict[str, float]:
        """Figures with a ``/`` in their names that are none of the above."""
        return {name: one for name, one in _figures(self.model_extra or {}).items() if "/" in name}

    def figure(self, name: str) -> float | None:
        """A figure by the name that the journal has; None if there is none."""
        found = _figures(self.plain()).get(name)
        return None if found is None else float(found)

    def plain(self) -> dict[str, Any]:
        """As the journal has it."""
        return self.model_dump(by_alias=True)


class Job(_Record):
    """What a run was for."""

    name: str


class Named(_Record):
    """A component."""

    name: str


class Network(_Record):
    """A role."""

    model: str


class RecipeRow(_Record):
    """As much of a recipe as a report tells."""

    method: str | None = None
    algorithm: Named
    roles: dict[str, Network]
    data: dict[str, Any]
    epochs: Count
    seed: Count


class Start(_Record):
    """A run began or went on."""

    job: Job
    recipe: RecipeRow


class Epoch(_Record):
    """An epoch ended."""

    epoch: Count
    metrics: dict[str, Any]

    @property
    def figures(self) -> dict[str, float]:
        """The metrics that can be drawn."""
        return _figures(self.metrics)


class PictureRow(_Record):
    """A picture was drawn; ``path`` is below the run's folder."""

    name: str
    path: str
    epoch: Count


class Failed(_Record):
    """The run stopped."""

    error: str


class Machine(_Record):
    """Where a run was done."""

    device: str
    name: str
    system: str
    cores: Count | None
    threads: Count

    @property
    def speed(self) -> str:
        """What decides how long a run takes: the GPU, or the processor with the number of threads."""
        many = "" if self.threads == 1 else "s"
        return self.name if self.device != "cpu" else f"{self.name}, {self.threads} thread{many}"


class SeenData(_Record):
    """What a run saw.

    Attributes:
        hash: of the images and labels that it could see.
        content: the same as if no label were withheld, which a method may do.
        withheld: whether it had no training images.
    """

    hash: str
    content: str | None = None
    withheld: bool = False


class Provenance(_Record):
    """What made a result."""

    machine: Machine
    versions: dict[str, str]
    data: SeenData
    git: str | None = None

    @property
    def origin(self) -> str:
        """What tells machines and versions of the code apart."""
        return self.model_dump_json(include={"machine", "versions", "git"})


@dataclass(frozen=True)
class Recorded:
    """The journal of a run.

    Attributes:
        start: its beginning; None if that cannot be read.
        epochs: in order.
        pictures: in order.
        failures: in order.
        result: None while the run has not ended.
        faults: a line for each kind of row that is left out, because something in it is not as it must be.
    """

    start: Start | None
    epochs: tuple[Epoch, ...]
    pictures: tuple[PictureRow, ...]
    failures: tuple[Failed, ...]
    result: Result | None
    faults: tuple[str, ...]


_ROWS: Mapping[str, type[_Record]] = {
    "start": Start,
    "epoch": Epoch,
    "picture": PictureRow,
    "failed": Failed,
}


def recorded(folder: Path) -> Recorded:
    """The journal of the run in ``folder``; empty if it has none.

    Raises:
        KdzooError: it cannot be read, or its result is not one; names the file, the row and the key.
    """
    path = folder / "metrics.jsonl"
    found: dict[str, list[Any]] = {event: [] for event in _ROWS}
    faults: dict[str, str] = {}
    result: Result | None = None
    for number, row in enumerate(read_journal(path) if os.path.isfile(path) else (), start=1):
        event = row.get("event")
        try:
            if event == "result":
                result = _Ended.model_validate(row).result
            elif isinstance(event, str) and event in _ROWS:
                found[event].append(_ROWS[event].model_validate(row))
        except ValidationError as error:
            line = f"{path}, row {number}: {event}: {Fault.first(error)}"
            if event == "result":
                raise KdzooError(line) from None
            faults.setdefault(str(event), f"{line}; rows like it are left out")
    return Recorded(
        start=found["start"][0] if found["start"] else None,
        epochs=tuple(found["epoch"]),
        pictures=tuple(found["picture"]),
        failures=tuple(found["failed"]),
        result=result,
        faults=tuple(faults.values()),
    )


def read_provenance(folder: Path) -> Provenance:
    """``provenance.json`` of the run in ``folder``.

    Raises:
        KdzooError: it cannot be read, or lacks something; names the file and the key.
    """
    return read_json(folder / "provenance.json", TypeAdapter(Provenance))


_Form = TypeVar("_Form")


def read_json(path: Path, form: TypeAdapter[_Form]) -> _Form:
    """A JSON file of that form.

    Raises:
        KdzooError: it cannot be read, or is not of that form; names the file and the key.
    """
    try:
        return form.validate_json(path.read_bytes())
    except OSError as error:
        raise KdzooError(f"{path}: {error.strerror or error}") from None
    except ValidationError as error:
        raise KdzooError(f"{path}: {Fault.first(error)}") from None


class _Ended(_Record):
    result: Result


def _figures(values: Mapping[str, Any]) -> dict[str, float]:
    """Those that are numbers of a size that a figure can show."""
    return {
        name: one
        for name, one in values.items()
        if isinstance(one, int | float)
        and not isinstance(one, bool)
        and math.isfinite(one)
        and abs(one) <= _HUGE
    }
