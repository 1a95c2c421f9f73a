"""Does each step have one forward pass of each network, also the first one, in any order of calls?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kdzoo.api.batch import Batch, Output
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener
from kdzoo.errors import KdzooError
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.rehearsal import prepared
from kdzoo.testing.subject import Subject

_STEPS = 2
"""Number of steps; connectors are made in the first one."""


class CountPasses(Listener):
    """Counts each role's forward passes on whole batches, without those on two samples to find shapes."""

    def __init__(self) -> None:
        self.size = 0
        self.passes: Counter[str] = Counter()

    def begin(self, batch: Batch) -> None:
        """Start a new step on this batch."""
        self.size = len(batch)
        self.passes.clear()

    def seen(self, run: Run, role: str, batch: Batch, output: Output) -> None:
        """Count it."""
        if len(batch) >= self.size:
            self.passes[role] += 1


@check(
    "passes",
    "knowledge",
    "scheme",
    looks_for="a network that runs more often in the first step, or when the task loss comes first",
    mend="Name every (student, teacher) in the scheme's `arrows`; set `taps` in `__init__`, not later.",
)
def needless_passes(subject: Subject) -> Iterator[Wrong]:
    """Two steps in both orders: distillation loss first, task loss first."""
    for order in ("teach, then task", "task, then teach"):
        try:
            first, later = _two_steps(subject, teach_first=order == "teach, then task")
        except KdzooError:
            return  # it needs its own algorithm, whose runs the other checks examine
        for role in sorted(first.keys() | later.keys()):
            if first[role] > later[role]:
                yield (
                    f"{order}: {first[role]} passes in the first step and {later[role]} in a later one",
                    f"role {role}",
                )


def _two_steps(subject: Subject, *, teach_first: bool) -> tuple[Counter[str], Counter[str]]:
    counter = CountPasses()
    run = prepared(subject, listeners=[counter])
    counted: list[Counter[str]] = []
    for number, batch in zip(range(_STEPS), run.data.train, strict=False):
        batch = run.begin_step(number, batch)
        counter.begin(batch)
        if teach_first:
            run.teach(batch)
        for role in run.students:
            run.task(role, batch)
        if not teach_first:
            run.teach(batch)
        counted.append(counter.passes.copy())
        run.end_step()
    return counted[0], counted[1]
