"""Where the host would wait for a GPU."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from kdzoo.api.batch import Batch
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.testing.frames import innermost

_WAITING = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
    "an index by a mask",
    "_linalg_svd",
    "_linalg_eigh",
    "linalg_eig",
    "linalg_eigvals",
    "_linalg_eigvals",
    "linalg_lstsq",
    "_linalg_check_errors",
)
"""Operations whose result, its size, or whether it converged, the host must know to continue."""

_WARM = 2
"""Steps in which connectors are made, where waiting is allowed."""

_OPTIMIZERS = "optim"
"""The folder of torch's optimizers."""

_COPYING = ("tolist", "numpy", "cpu", "__array__")
"""Methods of a tensor that copy it to the host; on a CPU they dispatch no operation."""


@dataclass
class _Eyes:
    """Where the host would wait on a GPU, and for which operation; closed during code that waits on a CPU only."""

    found: dict[str, str]
    closed: bool = False

    def note(self, name: str, waiting: Collection[str]) -> None:
        """Record the frame, if the operation makes the host wait and the component called it."""
        if self.closed or name not in waiting:
            return
        stack = traceback.extract_stack()
        where = innermost(stack)
        # An optimizer counts its steps on the host.
        if where is not None and not any(_OPTIMIZERS in Path(frame.filename).parts for frame in stack):
            self.found.setdefault(where, name)


class _Operations(TorchDispatchMode):
    """Intercepts operations whose result the host must know."""

    def __init__(self, eyes: _Eyes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.eyes = eyes

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        self.eyes.note("an index by a mask" if name == "index" and _by_mask(args[1]) else name, _WAITING)
        return func(*args, **(kwargs or {}))


class _Copies(TorchFunctionMode):
    """Intercepts copies to the host."""

    def __init__(self, eyes: _Eyes) -> None:
        super().__init__()
        self.eyes = eyes

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        self.eyes.note(name, _COPYING)
        # With a given number of classes, it reads the ids on a CPU only.
        self.eyes.closed = name == "one_hot" and bool(args[1:] or kwargs.get("num_classes"))
        try:
            return func(*args, **kwargs)
        finally:
            self.eyes.closed = False


def _by_mask(indices: Sequence[Tensor | None]) -> bool:
    """Whether an index is a mask, whose number of rows the host must know."""
    return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in indices)


class Waits(Listener):
    """Opens the eyes at the beginning of a step and closes them at its end, from the third step on.

    Attributes:
        found: ``file.py:line`` -> the operation.
        open: closes them, should a step raise.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.open = ExitStack()
        self._steps = 0

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        """Open them."""
        self._steps += 1
        if self._steps > _WARM:
            eyes = _Eyes(self.found)
            self.open.enter_context(_Operations(eyes))
            self.open.enter_context(_Copies(eyes))

    def step_ended(self, run: Run, batch: Batch, figures: Mapping[str, Tensor], moment: Moment) -> None:
        """Close them."""
        self.open.close()
