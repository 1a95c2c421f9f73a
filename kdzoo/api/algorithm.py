"""HOW training is run: a script of phases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from kdzoo.api.batch import Batch
from kdzoo.api.declared import DeclaredRole
from kdzoo.api.run import Run


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one step function.

    Attributes:
        name: unique within the run; it names the phase in the metrics and in the checkpoint.
        data: the batches of an epoch. If it has ``set_epoch(epoch, start)``, that is called before each epoch;
            ``start`` is the number of batches to skip after a resume.
        step: one batch -> the scalars to record. It calls ``run.update`` as often as it needs.
        epochs: number of passes over ``data``.
        after_epoch: further figures for the metrics of each epoch, such as ``val/robust``; called with every role
            in eval mode and no graph.
        validate: whether the students are validated after each epoch; False while they are not trained yet.
    """

    name: str
    data: Iterable[Batch]
    step: Callable[[Batch], Mapping[str, Tensor]]
    epochs: int
    after_epoch: Callable[[], Mapping[str, float]] | None = None
    validate: bool = True


class Algorithm(ABC):
    """A script of phases. Hyper-parameters are the keyword arguments of ``__init__``.

    An ``__init__`` that takes ``**settings`` and passes them on also has its parent's hyper-parameters. This
    holds for knowledge and schemes as well.

    The code between two yields must be repeatable given ``run.state``: after a crash the script is run again
    from the start, and finished phases are skipped.
    """

    name: ClassVar[str]

    reads_teacher: ClassVar[bool] = False
    """Whether it uses the role ``teacher`` even without knowledge. A recipe without knowledge and without such an
    algorithm has no teacher."""

    reads_logits: ClassVar[bool] = True
    """Whether it reads a teacher's logits; if False, the knowledge decides. A teacher for other classes whose logits
    nothing reads is used without a classifier."""

    needs_labels: ClassVar[bool] = True
    """Whether it cannot do without labels, even where knowledge is taught by a trained teacher."""

    needs_loop: ClassVar[str] = "does not say that it is one loss a step"
    """Why it cannot be used in somebody else's training loop, as the rest of a sentence about it. Empty if it is one
    phase over ``run.data.train`` whose step calls ``run.update`` once and then reads no output: then
    ``kdzoo.Distiller`` gives the loss of that update away."""

    exempt: ClassVar[Mapping[str, str]] = {}
    """``check`` or ``check:item`` of the conformance kit -> the reason why this component is exempt from it."""

    def declared_roles(self) -> Iterable[DeclaredRole]:
        """The roles, in addition to the scheme's, whose networks a recipe may name; see :class:`Scheme`."""
        return ()

    @abstractmethod
    def phases(self, run: Run) -> Iterator[Phase]:
        """Yield the phases in order; each is trained to its end before the next is requested."""

    def measure(self, run: Run) -> Mapping[str, float]:
        """Called once after training: further figures for the result, such as ``test/early-exit``."""
        return {}

    def export(self, run: Run, folder: Path) -> str:
        """Called once after the student is written to ``folder``: add files; return Markdown for its card."""
        return ""
