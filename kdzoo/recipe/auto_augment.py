"""Automatic augmentation by name: timm's notation for RandAugment, TrivialAugmentWide, 3-Augment, FixMatch's."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

TRIVIAL, THREE, FIXMATCH = "trivial-augment", "3-augment", "fixmatch"

MOST_LAYERS = 16
"""Operations of an image at most."""

_UNIFORM = 100  # timm takes a greater mstd for a uniform distribution
_FORM = re.compile(r"(mstd|mmax|inc|m|n|p)(\d+(?:\.\d+)?)", re.ASCII)
_EXAMPLE = "expected rand-m9-mstd0.5-inc1 and the like, trivial-augment, 3-augment or fixmatch"


@dataclass(frozen=True)
class RandAugment:
    """``rand-...`` in timm's notation (``timm.data.auto_augment.rand_augment_transform``).

    Attributes:
        magnitude: m, mean magnitude.
        layers: n, operations of an image.
        probability: p, of each of them.
        deviation: mstd, standard deviation of the magnitude; infinite: uniform from 0 to ``magnitude``.
        largest: mmax, to which magnitudes are cut.
        increasing: inc, whether every operation grows stronger with the magnitude.
    """

    magnitude: float = 10
    layers: int = 2
    probability: float = 0.5
    deviation: float = 0
    largest: float = 10
    increasing: bool = False


def parse(text: str) -> RandAugment | str:
    """What an automatic augmentation's name asks for: a RandAugment, or the name of another.

    Raises:
        ValueError: it is none, or has a part that is unknown, twice there or out of range.
    """
    if text in (TRIVIAL, THREE, FIXMATCH):
        return text
    kind, *parts = text.split("-")
    if kind != "rand":
        raise ValueError(f"{text!r} is no automatic augmentation of kdzoo: {_EXAMPLE}")
    given: dict[str, float] = {}
    for part in parts:
        found = _FORM.fullmatch(part)
        if found is None or found[1] in given:
            reason = "is unknown" if found is None else "is there twice"
            raise ValueError(
                f"{part!r} in {text!r} {reason}: rand- takes m, n, p, mstd, mmax and inc with a number"
            )
        given[found[1]] = float(found[2])
    for name, low, high in (
        ("n", 1, MOST_LAYERS),
        ("p", 0, 1),
        ("inc", 0, 1),
        ("m", 0, 100),
        ("mmax", 1, 100),
    ):
        value = given.get(name, low)
        if not low <= value <= high or (name in ("n", "inc") and value != int(value)):
            raise ValueError(f"{name} in {text!r}: from {low} to {high}")
    deviation = given.get("mstd", 0)
    return RandAugment(
        magnitude=given.get("m", 10),
        layers=int(given.get("n", 2)),
        probability=given.get("p", 0.5),
        deviation=math.inf if deviation > _UNIFORM else deviation,
        largest=given.get("mmax", 10),
        increasing=bool(given.get("inc", 0)),
    )
