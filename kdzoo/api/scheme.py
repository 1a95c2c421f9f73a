"""WHO teaches whom: a graph of lessons between roles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor

from kdzoo.api.batch import Batch
from kdzoo.api.declared import DeclaredRole
from kdzoo.api.run import Run


@dataclass(frozen=True, eq=False)
class Lesson:
    """One arrow of the graph: ``teacher`` teaches ``student``.

    Attributes:
        student: the role that learns.
        teacher: the role that is imitated.
        weight: a number, or a (B,) tensor with a weight for each sample.
    """

    student: str
    teacher: str
    weight: float | Tensor = 1.0


class Scheme(ABC):
    """Roles, and who teaches whom, when. Hyper-parameters are arguments of ``__init__``."""

    name: ClassVar[str]
    kind: ClassVar[Literal["offline", "online", "self"]]

    reads_logits: ClassVar[bool] = True
    """Whether it, or what it derives from teachers, reads a teacher's logits; if False, the knowledge decides. A
    teacher for other classes whose logits nothing reads is used without a classifier."""

    needs_labels: ClassVar[bool] = False
    """Whether it cannot do without labels. Schemes that are not offline need them anyhow: nobody is trained yet."""

    exempt: ClassVar[Mapping[str, str]] = {}
    """``check`` or ``check:item`` of the conformance kit -> the reason why this component is exempt from it."""

    def declared_roles(self) -> Iterable[DeclaredRole]:
        """The roles whose networks a recipe may name, with these hyper-parameters.

        Called before anything is opened. ``student``, the network that is trained and exported, is only declared by a
        scheme that has a default for it.
        """
        return ()

    @abstractmethod
    def enroll(self, run: Run) -> None:
        """Enroll the roles, once, before the first phase."""

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """The graph: (student, teacher) of every lesson that may be given between the roles enrolled now.

        Called when a step begins; the knowledge of a new arrow is built then, before any forward pass. The knowledge
        of an arrow that is missing here is built at its first lesson, with one more forward pass in that step.
        """
        return ()

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """The lessons of this step, default: one of weight 1 for each arrow. Outputs are seen through ``run.see``."""
        return [Lesson(student, teacher) for student, teacher in self.arrows(run)]

    def after_step(self, run: Run) -> None:
        """Called after each step, for schemes whose teachers follow their students."""

    def measure(self, run: Run) -> Mapping[str, float]:
        """Called once after training: further figures for the result, such as ``test/early-exit``."""
        return {}

    def export(self, run: Run, folder: Path) -> str:
        """Called once after the student is written to ``folder``: add files; return Markdown for its card."""
        return ""
