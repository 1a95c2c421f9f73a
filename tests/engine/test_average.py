"""The mean over processes, without processes."""

import torch
from torch import nn

from kdzoo.engine.average import average_buffers, average_gradients


class TwoProcesses:
    """Another process whose tensors are all ones."""

    world_size = 2

    def all_reduce(self, flat, reduce_op):
        assert reduce_op == "mean"
        return (flat + 1) / 2


def test_gradients_are_averaged_and_a_missing_one_counts_as_zero():
    first, second = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4))
    first.grad = torch.full((2, 3), 3.0)
    average_gradients(TwoProcesses(), [first, second])
    assert torch.equal(first.grad, torch.full((2, 3), 2.0))
    assert torch.equal(second.grad, torch.full((4,), 0.5))


def test_statistics_are_averaged_and_counters_are_left():
    norm = nn.BatchNorm2d(2)
    norm.running_mean.fill_(3.0)
    norm.num_batches_tracked.fill_(7)
    average_buffers(TwoProcesses(), [norm])
    assert torch.equal(norm.running_mean, torch.full((2,), 2.0))
    assert norm.num_batches_tracked == 7
