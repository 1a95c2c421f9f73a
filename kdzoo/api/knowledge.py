"""WHAT is taught: a loss between two networks' outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor, nn

from kdzoo.api.batch import Batch, Output
from kdzoo.api.run import Run
from kdzoo.api.scheme import Lesson
from kdzoo.api.taps import Taps


class Knowledge(nn.Module, ABC):
    """A loss between a student's and a teacher's output.

    One instance serves one arrow of the scheme (one student, one teacher). Hyper-parameters are the keyword
    arguments of ``__init__``, typed with pydantic's constrained types; their schema is derived from there.
    """

    name: ClassVar[str]
    kind: ClassVar[Literal["response", "feature", "relation"]]

    reads_logits: ClassVar[bool | None] = None
    """Whether it reads the teacher's logits, so that a teacher for other classes gets a new head; default: it does if
    its ``kind`` is response."""

    needs_labels: ClassVar[bool] = False
    """Whether it teaches nothing, or something else, where no sample has a label."""

    exempt: ClassVar[Mapping[str, str]] = {}
    """``check`` or ``check:item`` of the conformance kit -> the reason why this component is exempt from it."""

    taps: Taps = Taps()
    """The stages and embeddings that the two networks must output. May be set per instance in ``__init__``."""

    lesson: Lesson
    """The arrow of this instance, with the roles ``lesson.student`` and ``lesson.teacher``; set before ``build``."""

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """Build the connectors, once, before the first step, from the shapes of two real outputs.

        Every ``nn.Parameter`` registered here is optimised under the role ``"knowledge"``.
        """

    @abstractmethod
    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """The loss: (B,) if it is a mean over samples, else a scalar. Computed in float32."""
