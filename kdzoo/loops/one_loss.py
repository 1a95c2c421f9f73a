"""A run that gives a step's loss away instead of training with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from kdzoo.api.algorithm import Algorithm, Phase
from kdzoo.api.batch import Batch, Output
from kdzoo.api.run import Run
from kdzoo.api.scheme import Scheme
from kdzoo.engine.lessons import Part
from kdzoo.engine.listeners import Listener
from kdzoo.engine.role import Role
from kdzoo.engine.run import TrainingRun
from kdzoo.errors import KdzooError
from kdzoo.loops.given import Given, GivenNetworks
from kdzoo.loops.training_set import OutsideData
from kdzoo.recipe.model import Recipe
from kdzoo.zoo.plugin import first_line


class _Answer(Listener):
    """What the student answered in a step."""

    def __init__(self) -> None:
        self.found: list[tuple[Batch, Output]] = []

    def seen(self, run: Run, role: str, batch: Batch, output: Output) -> None:
        """Keep the student's."""
        if role == "student":
            self.found.append((batch, output))

    def to(self, batch: Batch) -> dict[str, Tensor]:
        """The logits, or the embedding, for the images of ``batch``, which may be the first of a larger one."""
        own = [output for seen, output in self.found if seen is batch]
        larger = [output for seen, output in self.found if len(seen) > len(batch)]
        output = (own or larger)[0]
        if output.has_logits:
            return {"logits": output.logits[: len(batch)]}
        return {"embedding": output.embedded[: len(batch)]}


class OneLossRun(TrainingRun):
    """The algorithm's own step; its update keeps the loss and leaves the rest to somebody else.

    Attributes:
        loss: what the present step passed to :meth:`update`.
    """

    loss: Tensor | None = None
    _script: Iterator[Phase]  # held: a generator that is dropped cleans up
    _step: Callable[[Batch], Mapping[str, Tensor]]
    _steps = 0  # since ``Scheme.after_step``

    def __init__(
        self,
        recipe: Recipe,
        data: OutsideData,
        fabric: Fabric,
        scheme: Scheme,
        knowledge: Sequence[Part],
        networks: GivenNetworks,
    ) -> None:
        self._answer = _Answer()
        super().__init__(recipe, data, fabric, scheme, knowledge, networks, listeners=[self._answer])
        self._given, self._outside = networks, data

    def begin(self, algorithm: Algorithm, example: Batch) -> None:
        """Enroll the roles and build the connectors; networks that learn keep their modes and frozen parameters.

        Raises:
            KdzooError: a network is missing or not used; the algorithm trains on other data, or another network in
                the student's place.
        """
        name, before = self.recipe.algorithm.name, self._given.modes()
        self.scheme.enroll(self)
        student = self.roles["student"]
        self._script = iter(algorithm.phases(self))
        phase = next(self._script, None)
        if phase is None or phase.data is not self.data.train:
            raise KdzooError(f"algorithm {name!r} does not train on the training split")
        if self.roles["student"] is not student or not isinstance(student, Given):
            raise KdzooError(f"method {self.recipe.method!r} trains another network in the student's place")
        self.phase, self._step = phase.name, phase.step
        self.prepare(example)
        self.answers.clear()
        self._given.check_used(self.roles)
        taught = {id(one) for role in self.members.values() if role.learns for one in role.module.modules()}
        for part, mode, frozen in before:
            if id(part) in taught:
                part.training = mode
                for one in frozen:
                    one.requires_grad_(False)

    def others(self) -> dict[str, nn.Module]:
        """What learns beside the student and the connectors, by role."""
        return {name: role.module for name, role in self.members.items() if role.learns and name != "student"}

    def update(self, loss: Tensor, *roles: str) -> None:
        """Keep the loss.

        Raises:
            KdzooError: it is the step's second update.
        """
        self.roster.learners(roles)
        if self.loss is not None:
            raise KdzooError(f"algorithm {self.recipe.algorithm.name!r} updates more than once in a step")
        self.loss = loss

    def losses(
        self, batch: Batch, views: Sequence[Mapping[str, Tensor]], *, trained: bool
    ) -> dict[str, Tensor]:
        """What the algorithm records of a batch, the loss as ``total``, and what the student answered.

        Args:
            batch: the batch.
            views: its images with other augmentations.
            trained: whether the weights are about to change.
        """
        self.follow()
        arrows = len(self.connectors)
        try:
            with self._outside.present(batch, views):
                figures = dict(self._step(batch))
                figures |= {f"teach/{name}": one for name, one in self.lessons.part_losses.items()}
                if not self._answer.found:
                    self.see("student", batch)
            shown, loss = self._answer.to(batch), self.loss
        finally:  # nothing of this step's graph is kept
            self.loss, self._answer.found = None, []
            self.lessons.part_losses.clear()
            self.answers.clear()
        if loss is None or len(self.connectors) > arrows:
            what = (
                "has no loss in this step" if loss is None else "has a lesson that its scheme's arrows lack"
            )
            raise KdzooError(f"method {self.recipe.method!r} {what}: run it with kdzoo distill")
        self._steps += trained
        zero = torch.zeros((), device=self.device)
        return {"task": zero, "teach": zero, **figures, "total": loss, **shown}

    def follow(self) -> None:
        """Call ``Scheme.after_step`` if the weights have changed since."""
        if self._steps >= self.recipe.optim.grad_accum_steps:
            self._steps = 0
            self.scheme.after_step(self)

    def memory(self) -> dict[str, Any]:
        """What the run knows beside the weights of those who learn, as tensors and plain values."""
        self.follow()
        return {
            "state": dict(self.state),
            "generators": self.generators.state_dict(),
            "followers": {name: role.module.state_dict() for name, role in self._followers()},
            "steps": self._steps,
        }

    def recall(self, memory: Mapping[str, Any]) -> None:
        """The inverse of :meth:`memory`.

        Raises:
            KdzooError: it is not what :meth:`memory` returned for this method.
        """
        try:
            followers, steps = memory["followers"], int(memory["steps"])
            for name, role in self._followers():
                role.module.load_state_dict(followers[name])
            self.state.clear()
            self.state.update(on_device(memory["state"], self.device))
            self.saved.clear()
            self.saved.update(memory["generators"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise KdzooError(
                f"the state is not that of method {self.recipe.method!r}: {first_line(error)}"
            ) from None
        self.generators.clear()
        self._steps = steps

    def move(self, fabric: Fabric) -> None:
        """Also what the method remembers."""
        super().move(fabric)
        self.state.update(on_device(self.state, self.device))

    def _followers(self) -> Iterator[tuple[str, Role]]:
        """The networks that are neither trained nor given, such as moving averages."""
        for name, role in self.members.items():
            if not role.learns and role.stored:
                yield name, role


def on_device(value: Any, device: torch.device) -> Any:
    """Plain data with every tensor on the device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: on_device(one, device) for key, one in value.items()}
    return [on_device(one, device) for one in value] if isinstance(value, list) else value
