"""Channels-last networks have the gradients of others, also where torch's kernel is wrong in that format."""

import copy

import pytest
import torch
from torch import nn

from kdzoo.backbone.memory_format import to_channels_last


@pytest.mark.parametrize("channels", [1, 3, 5, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_weights_of_a_strided_pointwise_convolution_get_the_right_gradient(channels, stride):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, channels, 32, 32, generator=generator)
    network = nn.Sequential(nn.Conv2d(channels, 48, 1, stride=stride), nn.Conv2d(48, 4, 3))
    before = copy.deepcopy(network).double()
    to_channels_last(network)
    network(images.contiguous(memory_format=torch.channels_last)).square().mean().backward()
    before(images.double()).square().mean().backward()
    for ours, right in zip(network.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(ours.grad.double(), right.grad, rtol=1e-3, atol=1e-5)


def test_all_other_weights_are_in_that_format():
    network = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.Conv2d(16, 8, 1, stride=2), nn.Conv2d(8, 8, 3))
    to_channels_last(network)
    assert all(one.weight.is_contiguous(memory_format=torch.channels_last) for one in network)
    assert not any(one._forward_pre_hooks for one in network)
