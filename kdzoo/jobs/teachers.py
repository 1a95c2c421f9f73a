"""The teacher cache: a teacher is trained once and found by the hash of what determines its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from kdzoo.api.observer import Noted, Warned
from kdzoo.errors import KdzooError
from kdzoo.jobs.folder import is_whole
from kdzoo.jobs.plan import Planned
from kdzoo.jobs.resources import Resources
from kdzoo.owner import Owner
from kdzoo.recipe.identity import CONTENT, Difference, Identity, named, read_identity

_MEETING_SECONDS = 60.0


def is_trained(planned: Planned) -> bool:
    """Whether the cache has this teacher, undamaged."""
    return is_whole(planned.folder)


def weights_of(planned: Planned) -> Path:
    """The folder of the teacher's weights, once it is trained."""
    return planned.folder / "student"


@contextmanager
def alone(planned: Planned, resources: Resources, tell: Callable[[str], None]) -> Iterator[None]:
    """The right to train this teacher; in a run of several processes the main one has it.

    Whoever comes second waits, whatever the machine, and ``tell`` is told for whom.

    Raises:
        KdzooError: the cache cannot be written.
    """
    owner = Owner.of(planned.folder)

    def turn() -> bool:
        if not resources.main:
            return True
        try:
            planned.folder.parent.mkdir(parents=True, exist_ok=True)
            return owner.await_turn(tell, _MEETING_SECONDS)
        except OSError as error:
            where = planned.folder.parent
            raise KdzooError(f"{where}: cannot be written: {error.strerror or error}") from None

    try:
        # The processes of a run meet now and then: none may wait for another one for the hours of a training.
        while not resources.fabric.broadcast(turn()):
            pass
        yield
    finally:
        owner.release()


def why_anew(planned: Planned, identity: Identity) -> Noted | Warned | None:
    """Why the cached teacher of the same network cannot be used; None if there is none to compare with.

    A warning if the recipe says nothing of what differs. The cached teachers are those of the same data and seed,
    otherwise those of the same recipe; the nearest one is named.
    """
    stem = planned.folder.name.rpartition("-")[0]
    found = [
        differences
        for folder in sorted(planned.folder.parent.glob(f"{stem}-*"))
        if folder != planned.folder and (before := read_identity(folder)) is not None
        if (differences := identity.differences(before))
    ]
    alike = [some for some in found if not {CONTENT, "seed"} & {one.field for one in some}]
    nearest = min(alike or [some for some in found if not any(_chosen(some))], key=len, default=None)
    if nearest is None:
        return None
    told = Noted if any(_chosen(nearest)) else Warned
    return told(f"the teacher is trained anew: {named([_of_teacher(one) for one in nearest])}")


def _of_teacher(one: Difference) -> Difference:
    """The same under the role's name in the run: a teacher is trained as the student of its own recipe."""
    return replace(one, field=one.field.replace("roles.student.", "roles.teacher.", 1))


def _chosen(differences: tuple[Difference, ...]) -> Iterator[bool]:
    """For each difference, whether the recipe says it."""
    for one in differences:
        said = one.field not in (CONTENT, "kdzoo", "processes")
        yield said and not one.field.startswith("plugins.") and not one.field.endswith(".weights")
