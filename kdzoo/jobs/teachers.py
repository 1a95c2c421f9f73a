"""The teacher cache: a teacher is trained once and found by the hash of what determines its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from filelock import FileLock

from kdzoo.errors import Damaged
from kdzoo.jobs.folder import damage, finished
from kdzoo.jobs.plan import Planned
from kdzoo.jobs.resources import Resources
from kdzoo.recipe.identity import CONTENT, Difference, Identity, named, read_identity


def is_trained(planned: Planned) -> bool:
    """Whether the cache has this teacher, undamaged."""
    try:
        result = finished(planned.folder)
    except Damaged:
        return False
    return result is not None and damage(planned.folder, result) is None


def weights_of(planned: Planned) -> Path:
    """The folder of the teacher's weights, once it is trained."""
    return planned.folder / "student"


def alone(planned: Planned, resources: Resources) -> FileLock | nullcontext[None]:
    """A lock, so that only one process trains this teacher; in a run of several processes the main one holds it."""
    if not resources.main:
        return nullcontext()
    planned.folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{planned.folder}.lock")


def why_anew(planned: Planned, identity: Identity) -> str | None:
    """Why the cached teacher of the same recipe cannot be used; None if there is none.

    A teacher of another recipe is another teacher, which needs no explanation.
    """
    stem = planned.folder.name.rpartition("-")[0]
    found = (
        identity.differences(before)
        for folder in sorted(planned.folder.parent.glob(f"{stem}-*"))
        if folder != planned.folder and (before := read_identity(folder)) is not None
    )
    surprising = [differences for differences in found if differences and not any(_chosen(differences))]
    return named(min(surprising, key=len)) if surprising else None


def _chosen(differences: tuple[Difference, ...]) -> Iterator[bool]:
    """For each difference, whether the recipe says it."""
    for one in differences:
        said = one.field not in (CONTENT, "kdzoo", "processes")
        yield said and not one.field.startswith("plugins.") and not one.field.endswith(".weights")
