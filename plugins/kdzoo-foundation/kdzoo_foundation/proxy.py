"""Several teachers into a large proxy, and the proxy into the student."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import PositiveInt

from kdzoo.api import DeclaredRole, Phase, Run
from kdzoo_foundation.agglomerate import Agglomerate


class Proxy(Agglomerate):
    """Agglomerate the teachers in the role ``proxy``; then the proxy, frozen, is the only teacher of the student.

    Args:
        proxy_epochs: epochs of the first phase; default: the recipe's.
    """

    name = "proxy"
    needs_loop = "has two phases"

    def __init__(self, proxy_epochs: PositiveInt | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.proxy_epochs = proxy_epochs

    def declared_roles(self) -> Iterable[DeclaredRole]:
        """The proxy."""
        return [DeclaredRole("proxy", "learns from the teachers, then teaches the student, frozen")]

    def phases(self, run: Run) -> Iterator[Phase]:
        """``proxy``, then ``student``; both go over the training split."""
        teachers = self.teachers(run)
        run.enroll("proxy", run.build("proxy", num_classes=0), student=False)
        epochs = self.proxy_epochs or run.recipe.epochs
        yield self.phase(run, "proxy", "proxy", teachers, epochs, validate=False)
        run.enroll("proxy", run.roles["proxy"], learns=False)
        yield self.phase(run, "student", "student", ["proxy"], run.recipe.epochs)
