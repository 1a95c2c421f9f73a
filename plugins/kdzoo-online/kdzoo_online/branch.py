"""The deeper part of a timm network, cut off at one of its stages."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from kdzoo.api import Backbone, KdzooError, Output

_NO_MATCH = (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, IndexError, KeyError)
"""Exceptions of models whose forward pass does more than call its modules in order."""


class Branch(nn.Module):
    """The part of a network after one of its stages, with the network's own weights.

    It is the network's timm model, with all earlier modules replaced by ``nn.Identity``. A numerical check on
    a copy with perturbed weights verifies it; a newly initialised network may give nearly the same logits for
    all images.

    Args:
        network: a backbone; its model is modified and must not be used afterwards.
        stage: the branch continues from the map of this stage, ≤ -2.

    Raises:
        KdzooError: the logits are not a function of that map alone.
    """

    def __init__(self, network: Backbone, stage: int) -> None:
        super().__init__()
        _check(network, stage)
        self.model: nn.Module = network.model
        _cut(self.model, _path(network, stage))

    def forward(self, read: Output) -> Output:
        """The branch's output for the map of the trunk's last stage.

        Args:
            read: its ``features`` are that map, (B, C, H, W).

        Returns:
            logits (B, K).

        """
        (feature,) = read.features
        return Output(self.model(feature))


def _path(network: Backbone, stage: int) -> str:
    path: str = network.model.feature_info[stage]["module"]
    return path


def _cut(model: nn.Module, path: str) -> None:
    """Replace the module at ``path`` and all modules defined before it."""
    parent = model
    for name in path.split("."):
        for child in list(parent._modules):
            if child == name:
                break
            parent._modules[child] = nn.Identity()
        last, parent = parent, parent.get_submodule(name)
    last._modules[name] = nn.Identity()


def _check(network: Backbone, stage: int) -> None:
    if network.num_stages < -stage:
        raise KdzooError(
            f"model {network.name!r} has {network.num_stages} stages that can be seen; branches that leave it at "
            f"stage {stage} need {-stage}: take another scheme.stage or a convolutional network such as a ResNet"
        )
    whole = copy.deepcopy(network).cpu().double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in whole.parameters():
            shake = torch.randn(parameter.shape, generator=generator, device="cpu")
            parameter.add_(0.2 * shake / max(1.0, parameter[:1].numel() ** 0.5))
        image = torch.rand((4, whole.channels, *whole.input_size), generator=generator, device="cpu").double()
        own = whole(image, (stage,))
        shared = own.features[0].clone()
        try:
            _cut(whole.model, _path(network, stage))
            logits = whole.model(shared)
        except _NO_MATCH:
            logits = None
    # Others read the same map: it must not be modified.
    if logits is None or not _same(logits, own.logits) or not torch.equal(shared, own.features[0]):
        raise KdzooError(
            f"model {network.name!r}: its logits do not follow from the map of stage {stage} alone, so no branch can "
            "leave it there: take a convolutional network such as a ResNet or an EfficientNet, another "
            "scheme.stage, or --method kdcl, which trains whole networks"
        )


def _same(logits: Tensor, expected: Tensor) -> bool:
    """Equal to 1e-5 of the spread of the images' logits; without a spread, equality would be meaningless."""
    apart = (expected - expected.mean(dim=0)).abs().max()
    if logits.shape != expected.shape or not apart > 1e-9 * expected.abs().max():
        return False
    return bool((logits - expected).abs().max() <= 1e-5 * apart)
