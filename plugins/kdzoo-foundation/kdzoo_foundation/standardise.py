"""A teacher's features with mean 0 and one deviation, so that no channel and no teacher outweighs the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo_foundation.functional.phi_s import phi_s

_LEAST = 1e-5
"""Added to every variance."""


class Running(nn.Module):
    """Each channel with mean 0 and deviation 1, by averages over the batches of training.

    The averages are buffers: checkpoints hold them, and no gradient changes them. The first 1 / momentum batches are
    averaged with equal weights, later ones exponentially. In eval mode the averages stay as they are.

    Args:
        channels: C.
        momentum: weight of the newest batch, in (0, 1].
        device: of the buffers.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, channels: int, momentum: float, *, device: torch.device | None = None) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(channels, device=device))
        self.register_buffer("variance", torch.ones(channels, device=device))
        self.register_buffer("batches", torch.zeros((), device=device))

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C) or (B, C, H, W), standardised; this batch counts among those that are averaged."""
        if self.training:
            self._update(feature)
        mean, deviation = self.mean, (self.variance + _LEAST).sqrt()
        if feature.ndim == 4:
            mean, deviation = mean[:, None, None], deviation[:, None, None]
        return (feature - mean) / deviation

    @torch.no_grad()
    def _update(self, feature: Tensor) -> None:
        rows = feature.detach().to(self.mean.dtype).transpose(0, 1).flatten(1)
        mean = _over_processes(rows.mean(dim=1))
        variance = _over_processes((rows - mean[:, None]).square().mean(dim=1))
        self.batches += 1
        rate = self.batches.reciprocal().clamp_min(self.momentum)
        moved = mean - self.mean
        self.variance.lerp_(variance, rate).add_(rate * (1 - rate) * moved.square())
        self.mean.add_(rate * moved)


class Rotated(nn.Module):
    """PHI-S: rotated so that one scale gives every channel the variance 1; fixed once it is measured.

    Args:
        mean: (C,).
        covariance: (C, C).
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("matrix", phi_s(covariance.cpu()).to(self.mean))

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C) or (B, C, H, W), standardised."""
        if feature.ndim == 2:
            return (feature - self.mean) @ self.matrix.T
        return torch.einsum("oc,bchw->bohw", self.matrix, feature - self.mean[:, None, None])


class Moments:
    """Mean and covariance of features, gathered batch by batch in float64."""

    def __init__(self, channels: int, device: torch.device) -> None:
        self._count = torch.zeros((), dtype=torch.float64, device=device)
        self._sum = torch.zeros(channels, dtype=torch.float64, device=device)
        self._products = torch.zeros(channels, channels, dtype=torch.float64, device=device)

    def add(self, feature: Tensor) -> None:
        """Count each vector of (B, C), or each position of (B, C, H, W)."""
        rows = feature.detach().double().transpose(0, 1).flatten(1)
        self._count += rows.shape[1]
        self._sum += rows.sum(dim=1)
        self._products += rows @ rows.T

    def found(self) -> tuple[Tensor, Tensor]:
        """The mean (C,) and the covariance (C, C) over all processes."""
        count, total, products = map(_over_processes, (self._count, self._sum, self._products))
        mean = total / count
        return mean, products / count - torch.outer(mean, mean)


def _over_processes(value: Tensor) -> Tensor:
    """The mean over all processes; the value itself where there is one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    torch.distributed.all_reduce(value)
    return value / torch.distributed.get_world_size()
