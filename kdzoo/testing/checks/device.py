"""Does it run fast and in half precision: no waiting for the device, no map kept longer than a step?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdzoo.errors import KdzooError
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.diary import diary, second_run
from kdzoo.testing.once import OncePerSubject
from kdzoo.testing.subject import Subject
from kdzoo.testing.watch import watch
from kdzoo.testing.watching.splits import Splits


@check(
    "wait",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="a step in which the host waits for the device",
    mend="Keep numbers as tensors: torch.where instead of if, index by tensors, no .item() in a step.",
)
def waits_for_the_device(subject: Subject) -> Iterator[Wrong]:
    """A CPU run does not wait, so each operation that would wait on a GPU is detected."""
    for where, name in second_run(subject).waits.found.items():
        yield f"the host waits for the result of {name}", where


@check(
    "half",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="failure in bf16 autocast",
    mend="Cast with .float() before a logarithm, an eigenvalue or a division; create tensors in the input's dtype.",
)
def fails_in_half_precision(subject: Subject) -> Iterator[Wrong]:
    """The small recipe in bf16-mixed."""
    error = _in_half(subject).error
    if error is not None:
        what = (
            str(error) if isinstance(error, KdzooError) else f"{type(error).__name__}: {_first_line(error)}"
        )
        yield what, "precision bf16-mixed"


@check(
    "splits",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="training on the test or the validation split",
    mend="Train on run.data.train, or on a part of it: run.data.select(rows).",
)
def trains_on_other_splits(subject: Subject) -> Iterator[Wrong]:
    """No phase may have them as its data, and no network in train mode may get their images in a step."""
    for name, what in _in_half(subject).splits.found.items():
        yield what, f"split {name}"


@dataclass(eq=False)
class _Half:
    """A run in half precision, with a validation split.

    Attributes:
        error: how it failed; None if it did not.
        splits: the use of its splits.
    """

    error: Exception | None
    splits: Splits


@OncePerSubject
def _in_half(subject: Subject) -> _Half:
    data, changes = subject.recipe().data, dict[str, Any](precision="bf16-mixed")
    if data.val_fraction == 0 and data.train_per_class is not None and not data.withhold_train:
        more = data.train_per_class + 1
        changes |= {"data.train_per_class": more, "data.val_fraction": 1 / more}
    splits = Splits()
    try:
        watch(subject, changes=changes, listeners=[splits])
    except (KdzooError, RuntimeError, ValueError, TypeError) as error:
        return _Half(error, splits)
    finally:
        splits.close()
    return _Half(None, splits)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


@check(
    "kept-maps",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="maps kept after their step, whether a tap or a hook of the component's own took them",
    mend="Read maps through taps or a probe; keep a detached summary, not the map, and nothing that holds its graph.",
)
def keeps_maps(subject: Subject) -> Iterator[Wrong]:
    """A network's intermediate maps must not outlive the step."""
    for role, count in diary(subject).kept.items():
        yield f"{count} maps of earlier steps are still in memory", f"role {role}"
