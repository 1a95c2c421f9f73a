"""PHI-S: a rotation after which one scale standardises every channel alike."""

from __future__ import annotations

import torch
from torch import Tensor


def phi_s(covariance: Tensor) -> Tensor:
    """The matrix H Uᵀ / φ of PHI-S (Ranzinger et al. 2024), for centred features as columns.

    U are the eigenvectors of the covariance, H is a Hadamard matrix divided by √C, and φ² the mean eigenvalue. The
    features that it gives have the variance 1 in every channel, and their distances are those of before, up to the
    one factor φ. Where no Hadamard matrix of order C is known here, H is another orthogonal matrix with the same
    effect on the variances, see :func:`levelling`.

    Args:
        covariance: (C, C), symmetric; it is computed in float64.

    Returns:
        (C, C) float64.

    Raises:
        ValueError: the covariance is not square, or zero.
    """
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ValueError(f"the covariance must be (C, C), not {tuple(covariance.shape)}")
    values, vectors = torch.linalg.eigh(covariance.double())
    variance = values.clamp_min(0).mean()
    if not bool(variance > 0):
        raise ValueError("the features are the same for every image, so they cannot be standardised")
    mixing = hadamard(len(values))
    mixing = levelling(values) if mixing is None else mixing / len(values) ** 0.5
    found: Tensor = mixing.to(vectors) @ vectors.T / variance.sqrt()
    return found


def hadamard(order: int) -> Tensor | None:
    """A matrix of -1 and 1 with orthogonal rows, (order, order) float64; None if its construction is not known here.

    Sylvester's doubling on Paley's two constructions for prime numbers: every order that is a power of two times 1,
    12, 20 or 36, which most networks' widths are.
    """
    core = order
    while core > 0:
        found = _paley(core)
        if found is not None:
            double = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64, device="cpu")
            while len(found) < order:
                found = torch.kron(double, found)
            return found
        if core % 2:
            return None
        core //= 2
    return None


def _paley(order: int) -> Tensor | None:
    """A Hadamard matrix of exactly this order, from the squares modulo a prime."""
    if order == 1:
        return torch.ones(1, 1, dtype=torch.float64, device="cpu")
    if order % 4:
        return None
    if _is_prime(order - 1):  # order - 1 is 3 modulo 4
        return torch.eye(order, dtype=torch.float64, device="cpu") + _bordered(order - 1, -1.0)
    half = order // 2
    if half % 4 == 2 and _is_prime(half - 1):  # half - 1 is 1 modulo 4
        signs = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64, device="cpu")
        diagonal = torch.tensor([[1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64, device="cpu")
        identity = torch.eye(half, dtype=torch.float64, device="cpu")
        return torch.kron(_bordered(half - 1, 1.0), signs) + torch.kron(identity, diagonal)
    return None


def _bordered(prime: int, left: float) -> Tensor:
    """Whether i - j is a square modulo the prime, as -1, 0 and 1, with a row of ones and a column of ``left``."""
    squares = torch.full((prime,), -1.0, dtype=torch.float64, device="cpu")
    squares[torch.arange(1, prime, device="cpu").square() % prime] = 1.0
    squares[0] = 0.0
    number = torch.arange(prime, device="cpu")
    found = torch.ones(prime + 1, prime + 1, dtype=torch.float64, device="cpu")
    found[1:, 1:] = squares[(number[:, None] - number) % prime]
    found[1:, 0] = left
    found[0, 0] = 0.0
    return found


def _is_prime(number: int) -> bool:
    return number > 2 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def levelling(values: Tensor) -> Tensor:
    """An orthogonal Q with which every diagonal element of Q diag(values) Qᵀ is the mean of the values.

    The constructive proof of Schur and Horn: the largest and the smallest value are turned in their plane until one
    of them is the mean, and so on with the others.

    Args:
        values: (C,).

    Returns:
        (C, C) float64.
    """
    left = values.double().cpu().clone()  # number by number, which a GPU would wait for
    mean = left.mean()
    turned = torch.eye(len(left), dtype=torch.float64, device="cpu")
    open_ = torch.ones(len(left), dtype=torch.bool, device="cpu")
    for _ in range(len(left) - 1):
        high = int(left.masked_fill(~open_, -torch.inf).argmax())
        low = int(left.masked_fill(~open_, torch.inf).argmin())
        if high == low or not bool(left[high] > left[low]):
            break
        tangent = ((left[high] - mean).clamp_min(0) / (mean - left[low]).clamp_min(1e-300)).sqrt()
        cosine = 1 / (1 + tangent.square()).sqrt()
        sine = tangent * cosine
        first, second = turned[high].clone(), turned[low].clone()
        turned[high], turned[low] = cosine * first + sine * second, cosine * second - sine * first
        left[low] += left[high] - mean
        left[high] = mean
        open_[high] = False
    return turned
