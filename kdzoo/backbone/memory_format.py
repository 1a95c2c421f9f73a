"""Channels-last networks, but for the convolutions whose gradient torch gets wrong in that format."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FEW = 8
"""Input channels; oneDNN's kernel for AVX2 works on blocks of so many."""


def to_channels_last(network: nn.Module) -> None:
    """Put the parameters of ``network`` into channels-last format, which is the faster one for convolutions.

    On a processor with AVX2 and without AVX-512, a 1x1 convolution with a stride and 2 to 7 input channels, such as
    those in the stems of MobileOne and FastViT, gets a wrong gradient of its weights in that format, and writes
    beyond its memory (seen with torch 2.15, oneDNN 3.13). Such a convolution keeps the default format on a CPU.
    """
    network.to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _strided_pointwise_of_few(module):
            module.weight.data = module.weight.data.clone(memory_format=torch.contiguous_format)
            module.register_forward_pre_hook(_contiguous_on_cpu)


def _strided_pointwise_of_few(module: nn.Conv2d) -> bool:
    few = 1 < module.in_channels // module.groups < _FEW
    return few and module.kernel_size == (1, 1) and max(module.stride) > 1


def _contiguous_on_cpu(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    image, *others = given
    return (image.contiguous() if image.device.type == "cpu" else image, *others)
