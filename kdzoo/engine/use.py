"""What is done with weights that somebody else trained: used as they come, cut, given a new head, or trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kdzoo.backbone.origin import FOLDER, Origin
from kdzoo.errors import KdzooError
from kdzoo.recipe.roles import RoleConfig


@dataclass(frozen=True)
class Use:
    """How a role's weights are used.

    Attributes:
        num_classes: of the network when it is built; 0 = without a classifier.
        rows: the places among its logits that stand for the data's classes; None = it has none of them.
        train: what a run of its own trains first; None = nothing.
        note: what the user should know; empty if nothing.
    """

    num_classes: int
    rows: Sequence[int] | None = None
    train: Literal["head", "full"] | None = None
    note: str = ""


def teacher_use(
    role: str, config: RoleConfig, origin: Origin, classes: Sequence[str], *, reads_logits: bool
) -> Use:
    """How a teacher's weights are used; with ``train: auto``, the least that the method needs.

    Args:
        role: its name, for messages.
        config: its configuration.
        origin: its weights.
        classes: of the data; empty if the data has none.
        reads_logits: whether the method reads a teacher's logits.

    Raises:
        KdzooError: it is not to be trained, and its classes are not the data's.
    """
    train = config.train or "auto"
    if train in ("head", "full"):
        if not classes:
            raise KdzooError(
                f"roles.{role}.train={train}: the data has no classes to train it for; use never"
            )
        return Use(len(classes), train="head" if train == "head" else "full")
    if config.head is False:
        return Use(0)
    number = origin.num_classes
    rows = origin.rows_for(classes, by_number=config.weights is None)
    if rows is not None:
        if rows == list(range(number)):
            return Use(number, rows)
        how = f"cut to {len(rows)} of {number}, " if len(rows) < number else ""
        return Use(
            number, rows, note=f"{role}: its logits are {how}put in the order of the data's classes by name"
        )
    wanted = config.head or reads_logits
    if not classes and wanted and number:
        return Use(number, range(number))
    if not classes or not wanted:
        others = f"its {number} classes are not the data's" if number else "its weights have none"
        return Use(0, note=f"{role} is used without a classifier: {others}")
    what = _differ(origin, classes)
    if train == "auto":
        return Use(
            len(classes),
            train="head",
            note=f"{role}: {what}; the method reads its logits, so a new linear head is trained on its frozen "
            f"features (roles.{role}.train: never, head or full)",
        )
    raise KdzooError(
        f"roles.{role}.train=never: {what}, and the method reads its logits; train a new head "
        f"(--teacher-train head), or name its classes (roles.{role}.label_names)"
    )


def _differ(origin: Origin, classes: Sequence[str]) -> str:
    if not origin.num_classes:
        return "its weights have no classifier"
    unknown = next((name for name in classes if name not in (origin.label_names or ())), "")
    why = f", {unknown!r} is not among them" if origin.label_names else ", whose names are not known"
    return f"its weights are for {origin.num_classes} classes{why}, and the data has {len(classes)}"


def student_classes(role: str, config: RoleConfig, classes: int) -> int:
    """The number of classes of a network that is trained in this run: ``classes``, or 0.

    Raises:
        KdzooError: its configuration says that it is not to be trained.
    """
    if config.train == "never":
        raise KdzooError(f"roles.{role}.train=never: this role is trained; use head or full")
    given = config.weights or config.pretrained or config.checkpoint or config.model.startswith(FOLDER)
    if config.train == "head" and not given:
        raise KdzooError(
            f"roles.{role}.train=head: a head alone needs a trained network below it: give weights"
        )
    return 0 if config.head is False else classes
