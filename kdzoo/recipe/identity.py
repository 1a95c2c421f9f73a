"""What makes two runs the same run: a flat mapping of everything that decides their numbers, and its hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdzoo.errors import KdzooError, shortened
from kdzoo.files import write_json

IDENTITY_FILE = "identity.json"
"""In the folder of every run, beside its ``recipe.yaml``."""

_SHOWN = 3


@dataclass(frozen=True)
class Difference:
    """A field that two identities do not share; None where one of them lacks it."""

    field: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.field} was {_short(self.before)} and is {_short(self.now)} now"


@dataclass(frozen=True)
class Identity:
    """What decides the numbers of a run.

    Attributes:
        fields: dotted name -> plain value, in the order of the recipe.
        notes: what is worth knowing and not part of the key: the minor versions of torch and timm.
    """

    fields: Mapping[str, Any]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The sha256 over the fields, as 64 hex digits."""
        return hashlib.sha256(json.dumps(self.fields, sort_keys=True).encode()).hexdigest()

    def differences(self, before: Identity, *, known: bool = False) -> tuple[Difference, ...]:
        """Where ``before`` differs from this identity.

        What follows from another difference is left out: the content of the data where one of their settings
        differs, and a teacher's epochs and learning rate where they are the student's.

        Args:
            before: an earlier identity.
            known: compare only the fields that this one has.
        """
        names = dict.fromkeys([*self.fields, *(() if known else before.fields)])
        found = [
            Difference(name, before.fields.get(name), self.fields.get(name))
            for name in names
            if before.fields.get(name) != self.fields.get(name)
        ]
        return tuple(one for one in found if not _follows(one, found))

    def dump(self) -> dict[str, Any]:
        """As plain values."""
        return {"key": self.key, "fields": dict(self.fields), "notes": dict(self.notes)}

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Identity:
        """The inverse of :meth:`dump`."""
        return cls(dict(saved["fields"]), dict(saved["notes"]))

    def write(self, folder: Path) -> None:
        """Write it to :data:`IDENTITY_FILE` of a run's folder."""
        write_json(folder / IDENTITY_FILE, self.dump())


CONTENT = "data.content"


def read_identity(folder: Path) -> Identity | None:
    """The identity of the run in ``folder``; None if there is none that can be read."""
    try:
        return Identity.load(json.loads((folder / IDENTITY_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


class Differs(KdzooError):
    """A run that cannot be gone on with, since it is not the run that is asked for.

    Args:
        what: what was refused, such as ``runs/x: cannot resume``.
        differences: at least one.
        flags: field -> the flag of the command that set it, where one did.
    """

    def __init__(
        self, what: str, differences: Sequence[Difference], flags: Mapping[str, str] | None = None
    ) -> None:
        self.what, self.differences = what, tuple(differences)
        super().__init__(f"{what}: {named(self.differences)}; {_advice(self.differences, flags or {})}")

    def with_flags(self, flags: Mapping[str, str]) -> Differs:
        """The same error for somebody who typed these flags."""
        return Differs(self.what, self.differences, flags)


def named(differences: Sequence[Difference]) -> str:
    """The first three differences, and how many more there are."""
    more = len(differences) - _SHOWN
    return ", ".join(map(str, differences[:_SHOWN])) + (f", and {more} more differ" if more > 0 else "")


def _follows(one: Difference, others: Sequence[Difference]) -> bool:
    if one.field == CONTENT:
        return any(other.field.startswith("data.") and other.field != CONTENT for other in others)
    if one.field.startswith("roles."):
        source = {"lr": "optim.lr", "epochs": "epochs"}.get(one.field.rpartition(".")[2])
        return Difference(source or "", one.before, one.now) in others
    return False


def _advice(differences: Iterable[Difference], flags: Mapping[str, str]) -> str:
    steps: list[str] = []
    drop: list[str] = []
    for one in differences:
        flag = next((flags[name] for name in _above(one.field) if name in flags), None)
        if flag is not None:
            drop.append(flag)
        elif one.field == CONTENT:
            steps.append("restore the data")
        elif one.field.endswith(".weights"):
            steps.append("restore the weights")
        elif one.field == "kdzoo" or one.field.startswith("plugins."):
            steps.append(f"install {one.before} again" if one.before else "use the components of before")
        elif one.field == "processes":
            steps.append(f"resume in {one.before} processes")
        else:
            steps.append("resume with the recipe.yaml beside it")
    if drop:
        steps.insert(0, f"resume without {' and '.join(dict.fromkeys(drop))}")
    return ", ".join([*dict.fromkeys(steps), "or take another --output"])


def _above(name: str) -> list[str]:
    """The name and those of the sections that it is in, from the inside out."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _short(value: Any) -> str:
    if value is None:
        return "not set"
    return shortened(re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1", str(value)), quoted=False)
