"""Does it run fast and in half precision: no waiting for the device, no map kept longer than a step?"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from torch.utils._python_dispatch import TorchDispatchMode

from kdzoo.api.batch import Batch
from kdzoo.engine.run import TrainingRun
from kdzoo.errors import KdzooError
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.diary import diary
from kdzoo.testing.subject import Subject
from kdzoo.testing.watch import watch

_WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim")
"""Operations whose result, or its size, the host must know before it goes on."""

_WARM = 2
"""Steps in which connectors are made, which may look at what they like."""

_CORE = Path(__file__).parents[2]


class _Waits(TorchDispatchMode):
    """Keeps where the host would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.found: dict[str, str] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in _WAITING:
            where = _place()
            if where is not None:
                self.found.setdefault(where, name)
        return func(*args, **(kwargs or {}))


def _place() -> str | None:
    """The innermost line of the component's: not torch's, not the core's."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if "torch" in path.parts or path == Path(__file__) or "timm" in path.parts:
            continue
        return (
            None
            if path.is_relative_to(_CORE) and "builtin" not in path.parts
            else f"{path.name}:{frame.lineno}"
        )
    return None


@check(
    "wait",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="a step in which the host waits for the device",
    mend="Keep numbers as tensors: torch.where instead of if, index by tensors, no .item() in a step.",
)
def waits_for_the_device(subject: Subject) -> Iterator[Wrong]:
    """A CPU run does not wait, so the operations that would are looked for one by one."""
    begin: Callable[..., Batch] = TrainingRun.begin_step
    modes: list[_Waits] = []
    steps = 0

    def beginning(run: TrainingRun, step: int, batch: Batch) -> Batch:
        nonlocal steps
        batch = begin(run, step, batch)
        steps += 1
        if steps > _WARM:
            modes.append(_Waits())
            modes[-1].__enter__()  # type: ignore[no-untyped-call]  # torch's own
        return batch

    def look(run: TrainingRun) -> None:
        if steps > _WARM:
            modes[-1].__exit__(None, None, None)  # type: ignore[no-untyped-call]  # torch's own

    with mock.patch.object(TrainingRun, "begin_step", beginning):
        watch(subject, look=look)
    found = {where: name for mode in modes for where, name in mode.found.items()}
    for where, name in found.items():
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
    """One epoch in bf16-mixed."""
    try:
        watch(subject, changes={"precision": "bf16-mixed", "epochs": max(1, subject.recipe().epochs)})
    except KdzooError as error:
        yield str(error), "precision bf16-mixed"
    except (RuntimeError, ValueError, TypeError) as error:
        yield f"{type(error).__name__}: {str(error).splitlines()[0]}", "precision bf16-mixed"


@check(
    "kept-maps",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="stage maps kept after their step",
    mend="Keep a detached summary, not the map, and nothing that holds its graph.",
)
def keeps_maps(subject: Subject) -> Iterator[Wrong]:
    """Maps that the taps asked for die with their step."""
    for role, count in diary(subject).kept.items():
        yield f"{count} stage maps of earlier steps are still in memory", f"role {role}"
