"""What one small run was like, written down once for every check that asks."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._pytree import tree_leaves

from kdzoo.api.batch import Batch
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.weights import weights_hash
from kdzoo.testing.subject import Subject
from kdzoo.testing.watch import watch

ALWAYS = {"checkpoint_seconds": 0.0}
"""A checkpoint at every step."""

_MAP = 3
"""Dimensions of a map: (B, C, H, W), or (B, N, D) of tokens. A vector for each sample may be kept."""


@dataclass(eq=False)
class Diary:
    """A run of the subject's small recipe, from its first step to its last.

    Attributes:
        run: when it had ended.
        weights: role -> hash of what it weighs in the end, connectors included.
        figures: what was measured in the end.
        steps: how many there were.
        moved: frozen role -> what it did that a frozen role does not.
        still: learning role -> which of its modules were in eval mode at the end of a step.
        kept: role -> how many maps that it computed outlived their step.

    """

    run: TrainingRun
    weights: Mapping[str, str]
    figures: Mapping[str, Any]
    steps: int
    moved: Mapping[str, str] = field(default_factory=dict)
    still: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)


_DIARIES: dict[tuple[type[Any], str | None, str], Diary] = {}


def diary(subject: Subject) -> Diary:
    """The diary of this subject; it is run once in a process."""
    key = (subject.found.component, subject.method, repr(sorted(subject.settings.items())))
    if key not in _DIARIES:
        _DIARIES.clear()  # one at a time: it holds the networks
        _DIARIES[key] = _write(subject)
    return _DIARIES[key]


def _write(subject: Subject) -> Diary:
    first: dict[tuple[int, str], str] = {}
    moved: dict[str, str] = {}
    still: dict[str, str] = {}
    kept: dict[str, int] = {}
    maps: list[tuple[int, str, StorageWeakRef]] = []
    steps = 0

    def around(run: TrainingRun, role: str, batch: Batch) -> AbstractContextManager[object]:
        if role not in run.members or not torch.is_grad_enabled():
            return nullcontext()
        module = run.members[role].module
        lasting = {_address(one) for one in (*module.parameters(), *module.buffers(), *batch.inputs.values())}

        def note(module: nn.Module, given: object, answer: object) -> None:
            for one in tree_leaves(answer):
                if isinstance(one, Tensor) and one.ndim >= _MAP and _address(one) not in lasting:
                    # The storage, for a detached map holds it as well.
                    storage = StorageWeakRef(one.untyped_storage())  # type: ignore[no-untyped-call]
                    maps.append((steps, role, storage))

        return register_module_forward_hook(note)

    def look(run: TrainingRun) -> None:
        nonlocal steps
        if steps:  # the first one is that in which connectors are made
            alive = _alive(maps, steps)
            if alive and not kept:
                gc.collect()  # a reference cycle keeps nothing on purpose
                alive = _alive(maps, steps)
            kept.update({role: max(kept.get(role, 0), alive.count(role)) for role in alive})
        steps += 1
        for name, member in run.members.items():
            modules = dict(member.module.named_modules())
            if member.learns:
                if member.train_mode is None:
                    asleep = [
                        path or "the network itself" for path, one in modules.items() if not one.training
                    ]
                    if asleep:
                        still.setdefault(
                            name, f"{len(asleep)} of its modules are in eval mode, such as {asleep[0]!r}"
                        )
                continue
            if member.train_mode is None:
                awake = [path or "the network itself" for path, one in modules.items() if one.training]
                if awake:
                    moved.setdefault(
                        name, f"{len(awake)} of its modules are in train mode, such as {awake[-1]!r}"
                    )
                now = weights_hash(member.module)
                if first.setdefault((id(member), name), now) != now:
                    moved.setdefault(name, "its weights or statistics changed while it was frozen")
            for path, parameter in member.module.named_parameters():
                if parameter.grad is not None:
                    moved.setdefault(name, f"its parameter {path} collects gradients")

    done = watch(subject, look=look, around=around, changes=ALWAYS)
    return Diary(done.run, done.weights, done.figures, steps, moved, still, kept)


def _address(tensor: Tensor) -> int:
    """Of its memory, which views of it share."""
    address: int = tensor.untyped_storage()._cdata
    return address


def _alive(maps: list[tuple[int, str, StorageWeakRef]], now: int) -> list[str]:
    """The role of each map of an earlier step that is still in memory."""
    return [role for step, role, map_ in maps if step < now and not map_.expired()]  # type: ignore[no-untyped-call]
