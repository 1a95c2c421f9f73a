"""What a stage computes before its last activation, and the BatchNorm that feeds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from kdzoo.api import KdzooError, Probe
from kdzoo_feature.functional.ofd import batch_norm_margin

_ACTIVATIONS = ("torch.nn.modules.activation", "timm.layers.activations")
_SHORTCUTS = ("downsample", "shortcut", "identity")
"""Parts of the names of timm's modules that are not on a block's main path."""


@dataclass(frozen=True)
class PreActivation(Probe):
    """The maps of stages before their last activation, shallow to deep.

    For a stage without a last activation, such as a linear bottleneck, it is the stage's output. With
    ``margins``, each map is followed by its margin, (B, C):
    :func:`~kdzoo_feature.functional.batch_norm_margin` of the last BatchNorm on the stage's main path.

    Attributes:
        stages: counted from the deepest, -1, shallow to deep.
        margins: whether to read the margins too.
    """

    stages: tuple[int, ...]
    margins: bool = False

    def attach(self, model: nn.Module, keep: Callable[[Tensor], None]) -> Sequence[RemovableHandle]:
        """Set forward hooks on all activations and on the stages.

        Raises:
            KdzooError: the model does not have these stages as modules, or they have no BatchNorm although
                margins are requested.
        """
        ends = []
        for stage in self.stages:
            name, module, channels = _stage(model, stage)
            ends.append((module, channels, _margin(model, name, stage) if self.margins else None))
        return _hook(model, ends, keep)


def _stage(model: nn.Module, stage: int) -> tuple[str, nn.Module, int]:
    """Name, module and channels of a stage, from timm's ``feature_info``.

    Raises:
        KdzooError: timm does not give them.
    """
    known: Any = cast(Any, model).feature_info if hasattr(model, "feature_info") else ()
    try:
        name = str(known[stage]["module"])
        return name, model.get_submodule(name), int(known[stage]["num_chs"])
    except (IndexError, KeyError, AttributeError):
        raise KdzooError(
            f"model {type(model).__name__} has no module that computes its stage {stage} alone, so its "
            "pre-activations cannot be read; take a convolutional network such as a ResNet, or knowledge 'fitnet'"
        ) from None


def _margin(model: nn.Module, stage_name: str, stage: int) -> Tensor:
    """(C,) of the last BatchNorm on the main path up to the end of the stage.

    Raises:
        KdzooError: there is none.
    """
    found: _BatchNorm | None = None
    inside = False
    for name, module in model.named_modules():
        if name == stage_name or name.startswith(f"{stage_name}."):
            inside = True
        elif inside:
            break
        if isinstance(module, _BatchNorm) and not any(part in name for part in _SHORTCUTS):
            found = module
    if found is None or found.weight is None:
        raise KdzooError(
            f"model {type(model).__name__} has no BatchNorm in its stage {stage}, from which the margins are "
            "computed; take a teacher with BatchNorm such as a ResNet, or knowledge 'fitnet'"
        )
    return batch_norm_margin(found.weight.detach(), found.bias.detach())


def _hook(
    model: nn.Module, ends: Sequence[tuple[nn.Module, int, Tensor | None]], keep: Callable[[Tensor], None]
) -> list[RemovableHandle]:
    """Record the last activation's input and output; keep the input if the stage returns the output."""
    read: list[Tensor] = []
    returned: list[Tensor] = []
    changed: list[Any] = []

    def before(activation: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if getattr(activation, "inplace", False):
            # In place, it would overwrite its input. The setting is restored after the call.
            cast(Any, activation).inplace = False
            changed.append(activation)
        read[:] = inputs[:1]

    def after(activation: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        while changed:
            changed.pop().inplace = True
        returned[:] = [output]

    def end(
        channels: int, margin: Tensor | None, stage: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> None:
        feature = read[0] if returned and returned[0] is output else output
        if feature.ndim != 4 or feature.shape[1] != channels:
            raise KdzooError(
                f"{type(stage).__name__}, a stage of {type(model).__name__}, returns {tuple(feature.shape)} and no "
                f"map (B, {channels}, H, W); take a convolutional network such as a ResNet, or knowledge 'fitnet'"
            )
        keep(feature)
        if margin is not None:
            if margin.shape != feature.shape[1:2]:
                raise KdzooError(
                    f"{type(stage).__name__}: the stage's last BatchNorm has {margin.shape[0]} channels and its map "
                    f"{feature.shape[1]}, so there are no margins; take another teacher such as a ResNet"
                )
            keep(margin.expand(feature.shape[0], -1))

    handles = []
    # Search the whole model: timm may name an identity behind a stage as the stage's module.
    for module in model.modules():
        if type(module).__module__.startswith(_ACTIVATIONS):
            handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    for stage, channels, margin in ends:
        handles.append(stage.register_forward_hook(partial(end, channels, margin)))
    return handles
