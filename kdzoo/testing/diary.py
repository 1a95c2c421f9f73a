"""The record of one small run, shared by several checks."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from kdzoo.api.batch import Batch, Output
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.engine.role import Role
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.weights import weights_hash
from kdzoo.testing.once import OncePerSubject
from kdzoo.testing.subject import Subject
from kdzoo.testing.watch import Watched, running, watch
from kdzoo.testing.watching.movement import Movement
from kdzoo.testing.watching.teaching import Teaching
from kdzoo.testing.watching.unchanged import Unchanged
from kdzoo.testing.watching.waits import Waits

ALWAYS = {"checkpoint_seconds": 0.0}
"""A checkpoint at every step."""

_MAP = 3
"""Numbers of dimensions of a map: (B, C, H, W), or (B, N, D) for tokens. Vectors per sample may be kept."""


@dataclass(eq=False)
class Diary:
    """The record of a run of the subject's small recipe.

    Attributes:
        run: the run after its end.
        weights: role -> hash of its final weights, including connectors.
        figures: the final figures.
        steps: number of steps.
        moved: frozen role -> how it violated being frozen.
        still: trained role -> which of its modules were in eval mode at the end of a step.
        kept: role -> number of its maps that outlived their step.
        teaching: whom the lessons reach.
        movement: what the updates moved.
        unchanged: what was changed in place.

    """

    run: TrainingRun
    weights: Mapping[str, str]
    figures: Mapping[str, Any]
    steps: int
    moved: Mapping[str, str] = field(default_factory=dict)
    still: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)
    teaching: Teaching = field(default_factory=Teaching)
    movement: Movement = field(default_factory=Movement)
    unchanged: Unchanged = field(default_factory=Unchanged)


@OncePerSubject
def diary(subject: Subject) -> Diary:
    """The diary of this subject."""
    writer, teaching, movement, unchanged = _Writer(), Teaching(), Movement(), Unchanged()
    done = watch(subject, listeners=[teaching, movement, unchanged, writer], changes=ALWAYS)
    return Diary(
        done.run,
        done.weights,
        done.figures,
        writer.steps,
        writer.moved,
        writer.still,
        writer.kept,
        teaching,
        movement,
        unchanged,
    )


@dataclass(eq=False)
class SecondRun:
    """The same run again.

    Attributes:
        done: its outcome.
        waits: where the host would have waited for a GPU.
    """

    done: Watched
    waits: Waits


@OncePerSubject
def second_run(subject: Subject) -> SecondRun:
    """The second run of this subject."""
    waits = Waits()
    with waits.open:
        return SecondRun(watch(subject, listeners=[waits], changes=ALWAYS), waits)


class _Writer(Listener):
    """Examines every role at the end of each step, and the maps of each output."""

    def __init__(self) -> None:
        self.steps = 0
        self.moved: dict[str, str] = {}
        self.still: dict[str, str] = {}
        self.kept: dict[str, int] = {}
        self._first: dict[tuple[int, str], str] = {}
        self._maps: list[tuple[int, str, StorageWeakRef]] = []
        self._hooks: list[RemovableHandle | None] = []

    def asked(self, run: Run, role: str, batch: Batch) -> None:
        """Start noting the maps that are computed."""
        members = running(run).members
        if role not in members or not torch.is_grad_enabled():
            self._hooks.append(None)
            return
        module = members[role].module
        lasting = {_address(one) for one in (*module.parameters(), *module.buffers(), *batch.inputs.values())}

        def note(module: nn.Module, given: object, answer: object) -> None:
            for one in tree_leaves(answer):
                if isinstance(one, Tensor) and one.ndim >= _MAP and _address(one) not in lasting:
                    # The storage, since a detached map shares it.
                    storage = StorageWeakRef(one.untyped_storage())  # type: ignore[no-untyped-call]
                    self._maps.append((self.steps, role, storage))

        self._hooks.append(register_module_forward_hook(note))

    def seen(self, run: Run, role: str, batch: Batch, output: Output) -> None:
        """Stop noting."""
        hook = self._hooks.pop()
        if hook is not None:
            hook.remove()

    def step_ended(self, run: Run, batch: Batch, figures: Mapping[str, Tensor], moment: Moment) -> None:
        """Examine every role."""
        if self.steps:  # connectors are made in the first one
            alive = _alive(self._maps, self.steps)
            if alive and not self.kept:
                gc.collect()  # reference cycles are no finding
                alive = _alive(self._maps, self.steps)
            self.kept.update({role: max(self.kept.get(role, 0), alive.count(role)) for role in alive})
        self.steps += 1
        for name, member in running(run).members.items():
            if member.learns:
                self._look_at_mode(name, member)
            else:
                self._look_at_frozen(name, member)

    def _look_at_mode(self, name: str, member: Role) -> None:
        if member.train_mode is not None:
            return
        asleep = [path for path, one in member.module.named_modules() if not one.training]
        if asleep:
            what = asleep[0] or "the network itself"
            self.still.setdefault(name, f"{len(asleep)} of its modules are in eval mode, such as {what!r}")

    def _look_at_frozen(self, name: str, member: Role) -> None:
        if member.train_mode is None:
            awake = [path for path, one in member.module.named_modules() if one.training]
            if awake:
                what = awake[-1] or "the network itself"
                self.moved.setdefault(
                    name, f"{len(awake)} of its modules are in train mode, such as {what!r}"
                )
            now = weights_hash(member.module)
            if self._first.setdefault((id(member), name), now) != now:
                self.moved.setdefault(name, "its weights or statistics changed while it was frozen")
        for path, parameter in member.module.named_parameters():
            if parameter.grad is not None:
                self.moved.setdefault(name, f"its parameter {path} collects gradients")


def _address(tensor: Tensor) -> int:
    """The address of its storage, which views share."""
    address: int = tensor.untyped_storage()._cdata
    return address


def _alive(maps: list[tuple[int, str, StorageWeakRef]], now: int) -> list[str]:
    """The roles of maps of earlier steps that are still in memory."""
    return [role for step, role, map_ in maps if step < now and not map_.expired()]  # type: ignore[no-untyped-call]
