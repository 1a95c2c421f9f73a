"""Folding a batch norm in eval mode into the convolution before it: Jacob et al. 2018, section 3.2."""

from __future__ import annotations

import torch
from torch import Tensor


def fold_norm(
    weight: Tensor,
    bias: Tensor | None,
    *,
    mean: Tensor,
    variance: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Weight and bias of one convolution equivalent to convolution and norm; equation 14.

    Args:
        weight: (out, ...), the convolution's.
        bias: (out,), or None.
        mean: (out,), the norm's running mean.
        variance: (out,), its running variance.
        scale: (out,), γ; None = 1. It may be zero.
        shift: (out,), β; None = 0.
        eps: the norm's eps, added to the variance.

    Returns:
        W γ/√(σ² + eps), of the weight's shape and dtype, and β + (b - μ) γ/√(σ² + eps), (out,).

    """
    factor = torch.rsqrt(variance.double() + eps)
    if scale is not None:
        factor = factor * scale.double()
    folded = (0.0 if bias is None else bias.double()) - mean.double()
    folded = folded * factor + (0.0 if shift is None else shift.double())
    shape = (-1, *[1] * (weight.dim() - 1))
    return (weight.double() * factor.reshape(shape)).to(weight.dtype), folded.to(weight.dtype)
