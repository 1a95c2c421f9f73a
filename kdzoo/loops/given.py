"""Networks that a user made, in the roles of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from kdzoo.backbone import Backbone
from kdzoo.engine.networks import Networks
from kdzoo.errors import KdzooError
from kdzoo.recipe.model import Recipe


class Given(Backbone):
    """Its images come normalised, for it or for another network, in the size that the network is to see.

    So ``mean`` and ``std`` are 0 and 1 here, and the model's own are in ``own_mean`` and ``own_std``.
    """

    own_mean: Tensor
    own_std: Tensor
    scale: tuple[Tensor, Tensor] | None = None

    def __init__(self, model: nn.Module, *, input_size: tuple[int, int]) -> None:
        super().__init__(model, input_size=input_size)
        self.register_buffer("own_mean", self.mean.clone(), persistent=False)
        self.register_buffer("own_std", self.std.clone(), persistent=False)
        self.normalise([0.0], [1.0])

    def renormalise(self, other: Given) -> None:
        """Images come normalised for ``other``."""
        self.scale = other.own_std / self.own_std, (other.own_mean - self.own_mean) / self.own_std

    def prepare(self, image: Tensor) -> Tensor:
        """With its own mean and std in place of the other's."""
        if self.scale is None:
            return image
        factor, shift = (one.to(image) for one in self.scale)
        return image * factor + shift


class GivenNetworks(Networks):
    """Networks by role, each as its user made it."""

    def __init__(self, recipe: Recipe, given: Mapping[str, Given]) -> None:
        self._recipe = recipe
        self._given = given
        self._asked: set[str] = set()

    def build(
        self,
        role: str,
        like: str | None = None,
        num_classes: int | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Given:
        """The network of ``role``.

        Raises:
            KdzooError: none was given, or the method wants it with another head or other arguments.
        """
        method = self._recipe.method
        if role not in self._given:
            how = f"networks={{{role!r}: ...}}"
            if role.startswith("teacher"):
                how = "teacher=" if role == "teacher" else "a list of teachers"
            raise KdzooError(f"method {method!r} has the role {role!r}: give it a network by {how}")
        network = self._given[role]
        if arguments or num_classes not in (None, network.num_classes):
            raise KdzooError(
                f"method {method!r} builds the network {role!r} by itself: run it with kdzoo distill"
            )
        self._asked.add(role)
        return network

    def modality(self, module: nn.Module) -> str:
        """Which of a batch's inputs a network reads; a larger one reads what its first network reads."""
        for part in module.modules():
            for role, network in self._given.items():
                if part is network:
                    return self._recipe.roles[role].modality
        return "image"

    def from_file(self, module: nn.Module) -> bool:
        """Whether it is the user's own, so that what the method remembers need not hold it."""
        return any(module is network for network in self._given.values())

    def trained_now(self, module: nn.Module) -> None:
        """Its weights are the user's to keep."""

    def modes(self) -> list[tuple[nn.Module, bool, list[nn.Parameter]]]:
        """Each part of every network, whether it is in train mode, and its frozen parameters."""
        return [
            (part, part.training, [one for one in part.parameters(recurse=False) if not one.requires_grad])
            for network in self._given.values()
            for part in network.model.modules()
        ]

    def check_used(self, roles: Iterable[str]) -> None:
        """Refuse networks that no role asked for.

        Raises:
            KdzooError: names the first one, and the roles that there are.
        """
        for role in self._given:
            if role not in self._asked:
                raise KdzooError(
                    f"method {self._recipe.method!r} has no role {role!r}; its roles are {', '.join(roles)}"
                )
