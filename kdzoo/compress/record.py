"""``compress.json``: what was asked, planned and done, from which an interrupted compression goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeFloat, TypeAdapter

from kdzoo.bench.ledger import write_json
from kdzoo.bench.recorded import read_json
from kdzoo.compress.plan import Plan
from kdzoo.compress.request import Request, changes
from kdzoo.errors import KdzooError
from kdzoo.recipe.section import Section
from kdzoo.registry.model import Suite

FILE = "compress.json"


class Stage(Section):
    """A part of the work: the teacher, a rung, the final.

    Attributes:
        name: of its folder.
        suite: what it runs; decided before it begins.
        expected: seconds that it should take.
        seconds: that it took; None while it is not finished.
        said: what came of it, in words.
    """

    name: str
    suite: Suite
    expected: NonNegativeFloat
    seconds: NonNegativeFloat | None = None
    said: tuple[str, ...] = ()


class Record(Section):
    """The content of the file.

    Attributes:
        kdzoo: the version that began it.
        request: as plain data.
        pictures: hash of their content.
        plan: made at the start.
        spent: seconds of all sessions.
        stages: in order.
        results: of the whole, once it is finished.
    """

    kdzoo: str
    request: dict[str, Any]
    pictures: str
    plan: Plan
    spent: NonNegativeFloat = 0.0
    stages: tuple[Stage, ...] = ()
    results: dict[str, Any] = Field(default_factory=dict)

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, if it was decided."""
        return next((one for one in self.stages if one.name == name), None)

    def with_stage(self, stage: Stage) -> Record:
        """With this stage in the place of the one of its name, or after all."""
        others = [one for one in self.stages if one.name != stage.name]
        place = next((at for at, one in enumerate(self.stages) if one.name == stage.name), len(others))
        return self.model_copy(update={"stages": (*others[:place], stage, *others[place:])})

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        write_json(folder / FILE, self.model_dump(mode="json", exclude_unset=True))


def read_record(folder: Path) -> Record | None:
    """What the folder holds; None if nothing was begun there.

    Raises:
        KdzooError: it holds something else, or cannot be read.
    """
    if os.path.isfile(folder / FILE):
        return read_json(folder / FILE, TypeAdapter(Record))
    if os.path.isdir(folder) and any(name[0] != "." for name in os.listdir(folder)):
        raise KdzooError(f"{folder}: not empty, and not of kdzoo compress (no {FILE}); take another --output")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise KdzooError(f"{folder}: not a folder; take another --output")
    return None


def check_same(folder: Path, record: Record, request: Request, pictures: str | None = None) -> None:
    """Refuse to go on with another request, or other pictures.

    Raises:
        KdzooError: names what differs.
    """
    differ = changes(record.request, request.plain())
    if pictures is not None and record.pictures != pictures:
        differ.append("the pictures have changed")
    if differ:
        raise KdzooError(f"{folder}: was begun otherwise: {'; '.join(differ)}; take another --output")
