"""A network whose parameters are shared by all architectures of a space."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.func import functional_call

from kdzoo.api import Backbone, Output, Run
from kdzoo_nas.families import Family, family_of, space_around
from kdzoo_nas.functional import cut
from kdzoo_nas.space import Architecture, Space

_KEPT = 64
"""Number of cached skeletons; they have no storage."""


class Builder:
    """Builds the architectures of a space with the arguments of the recipe's student.

    Args:
        run: the run, with the student's model and arguments.
        widths: factors of the model's widths.
        depths: factors of its depths.
        kernels: kernel sizes, for families with a choice.

    Attributes:
        family: the timm family of the student.
        space: the search space.

    Raises:
        KdzooError: the student's family cannot be searched.

    """

    def __init__(
        self, run: Run, widths: tuple[float, ...], depths: tuple[float, ...], kernels: tuple[int, ...]
    ) -> None:
        self._run = run
        self._config = run.recipe.roles["student"]
        network = run.roles["student"]
        assert isinstance(network, Backbone)
        self.name = self._config.model
        self.family: Family = family_of(network.model, self.name)
        self.space: Space = space_around(
            self.family, self.family.read(network.model), widths, depths, kernels
        )
        self._like = network
        self._kept: OrderedDict[Architecture, Backbone] = OrderedDict()
        self._counts: dict[tuple[Architecture, str], int] = {}

    def arguments(self, architecture: Architecture) -> dict[str, Any]:
        """The arguments of ``timm.create_model`` except the model's name: plain values."""
        return {**self._config.kwargs, **self.family.spell(architecture)}

    def build(self, role: str, architecture: Architecture, **further: Any) -> Backbone:
        """The untrained network; its initialisation depends on the seed and ``role``."""
        arguments = {**self.family.spell(architecture), **further}
        made = self._run.build(role, like="student", arguments=arguments)
        assert isinstance(made, Backbone)
        return made

    def skeleton(self, architecture: Architecture) -> Backbone:
        """The network without storage, on the device ``meta``, for shapes and for calls with shared parameters."""
        if architecture not in self._kept:
            model = timm.create_model(
                self.name,
                num_classes=self._like.num_classes,
                in_chans=self._like.channels,
                device="meta",
                **self.arguments(architecture),
            )
            made = Backbone(model, input_size=self._like.input_size, label_names=self._like.label_names)
            made.mean, made.std = self._like.mean, self._like.std
            self._kept[architecture] = made
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(architecture)
        return self._kept[architecture]

    def block(self, number: int) -> str:
        """The name of a stage's module in a network; stages count from 0."""
        return f"model.{self.family.blocks(len(self.space.stages))[number]}"

    def parameters(self, architecture: Architecture, module: str = "") -> int:
        """Number of parameters of the network, or of one of its modules, such as ``model.layer1``."""
        if (architecture, module) not in self._counts:
            counted = self.skeleton(architecture).get_submodule(module)
            self._counts[architecture, module] = sum(one.numel() for one in counted.parameters())
        return self._counts[architecture, module]


class SuperNet(nn.Module):
    """The parameters of the largest architecture; smaller ones use slices of them.

    An architecture is timm's own model, called with slices of the shared parameters: the first channels, the
    centre of the kernel, the first blocks of each stage. So no new layers are needed, whatever a family's
    blocks contain. A parameter that the largest architecture lacks, such as a projection on a shortcut, is
    shared by the architectures that have it.

    BatchNorm statistics are not shared: training uses batch statistics, and they are computed for an
    architecture before it is scored; see :meth:`statistics`.

    Args:
        builder: builds the architectures.
        role: name for the seed of the initialisation.

    """

    def __init__(self, builder: Builder, role: str = "supernet") -> None:
        super().__init__()
        self._builder = (builder,)  # in a tuple, so that it is not registered as a submodule
        shapes: dict[str, tuple[int, ...]] = {}
        from_: dict[str, Architecture] = {}
        for architecture in [
            *builder.space.around(builder.space.largest),
            *builder.space.around(builder.space.smallest),
        ]:
            for name, parameter in builder.skeleton(architecture).named_parameters():
                if parameter.numel() > torch.Size(shapes.get(name, (0,))).numel():
                    shapes[name], from_[name] = tuple(parameter.shape), architecture
        for architecture in dict.fromkeys(from_.values()):
            built = dict(builder.build(role, architecture).named_parameters())
            for name in [one for one, source in from_.items() if source == architecture]:
                self.register_parameter(_key(name), nn.Parameter(built[name].detach().clone()))

    @property
    def builder(self) -> Builder:
        """The builder of the architectures."""
        return self._builder[0]

    def parameters_of(self, architecture: Architecture, prefix: str = "") -> dict[str, Tensor]:
        """The architecture's slices of the shared parameters: name -> view."""
        return {
            name: cut(self.get_parameter(_key(name)), one.shape)
            for name, one in self.builder.skeleton(architecture).named_parameters()
            if name.startswith(prefix)
        }

    def call(
        self,
        architecture: Architecture,
        image: Tensor,
        statistics: dict[str, Tensor] | None = None,
        stages: tuple[int, ...] = (),
    ) -> Output:
        """An architecture's output.

        Args:
            architecture: one of the space.
            image: (B, C, H, W) in [0, 1].
            statistics: BatchNorm's, from :meth:`statistics`; None: those of this batch.
            stages: as those of :class:`Backbone`.

        """
        skeleton = self.builder.skeleton(architecture).train(statistics is None)
        if statistics is None:
            statistics = dict(_fresh(skeleton, image.device))
        tensors = {**self.parameters_of(architecture), **statistics}
        output: Output = functional_call(skeleton, tensors, (image, stages))
        return output

    def call_block(self, architecture: Architecture, number: int, features: Tensor) -> Tensor:
        """The output of an architecture's stage for the output of the previous one, with this batch's statistics.

        Args:
            architecture: one of the space.
            number: number of the stage, from 0.
            features: (B, C, H, W).

        """
        name = self.builder.block(number)
        module = self.builder.skeleton(architecture).get_submodule(name).train()
        tensors = {**self.parameters_of(architecture, f"{name}."), **dict(_fresh(module, features.device))}
        answer: Tensor = functional_call(
            module, {key.removeprefix(f"{name}."): one for key, one in tensors.items()}, (features,)
        )
        return answer

    def forward(self, image: Tensor) -> Output:
        """The largest architecture's output, with this batch's statistics."""
        output: Output = self.call(self.builder.space.largest, image)
        return output

    @torch.no_grad()
    def statistics(self, architecture: Architecture, images: list[Tensor]) -> dict[str, Tensor]:
        """BatchNorm's statistics of an architecture: the mean over these batches."""
        skeleton = self.builder.skeleton(architecture)
        norms = [one for one in skeleton.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
        device = images[0].device
        found = dict(_fresh(skeleton, device))
        if not norms:
            return found
        momenta = [one.momentum for one in norms]
        skeleton.train()
        try:
            for one in norms:
                one.momentum = None  # None means a cumulative mean in PyTorch
            for image in images:
                functional_call(skeleton, {**self.parameters_of(architecture), **found}, (image,))
        finally:
            for one, momentum in zip(norms, momenta, strict=True):
                one.momentum = momentum
        return found

    @torch.no_grad()
    def give(self, architecture: Architecture, network: Backbone, images: list[Tensor]) -> None:
        """Copy an architecture's slices and statistics to a separate network."""
        network.load_state_dict(
            {**self.parameters_of(architecture), **self.statistics(architecture, images)}, strict=True
        )


def _key(name: str) -> str:
    return name.replace(".", "/")


def _fresh(skeleton: nn.Module, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Initial BatchNorm statistics, which a call updates and nobody reads."""
    for name, buffer in skeleton.named_buffers():
        if buffer.is_meta:
            fill = torch.ones_like if name.endswith("running_var") else torch.zeros_like
            yield name, fill(buffer, device=device)
