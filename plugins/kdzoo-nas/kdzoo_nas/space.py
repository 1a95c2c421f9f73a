"""The search space: choices of width, depth and kernel for each stage."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple


class Stage(NamedTuple):
    """One stage of an architecture.

    Attributes:
        width: its channels, as in timm's argument.
        depth: its number of blocks.
        kernel: its kernel size; 0 if the family has no choice.

    """

    width: int
    depth: int
    kernel: int = 0


Architecture = tuple[Stage, ...]
"""The stages, shallow to deep."""


@dataclass(frozen=True)
class Options:
    """The options of a stage, ascending; all combinations are possible."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...] = (0,)

    def __iter__(self) -> Iterator[Stage]:
        """All choices for the stage."""
        return (Stage(*one) for one in product(self.widths, self.depths, self.kernels))

    @property
    def fields(self) -> tuple[tuple[int, ...], ...]:
        """The options in the order of a :class:`Stage`."""
        return self.widths, self.depths, self.kernels


@dataclass(frozen=True)
class Space:
    """Every combination of the stages' options.

    Random numbers come from Python's ``random.Random``: they are the same in each process and on each device,
    without synchronisation.

    Attributes:
        stages: the options of each stage, shallow to deep.

    """

    stages: tuple[Options, ...]

    def __len__(self) -> int:
        return math.prod(math.prod(map(len, one.fields)) for one in self.stages)

    @property
    def largest(self) -> Architecture:
        """The widest and deepest architecture."""
        return tuple(Stage(*(max(field) for field in one.fields)) for one in self.stages)

    @property
    def smallest(self) -> Architecture:
        """The narrowest and shallowest architecture."""
        return tuple(Stage(*(min(field) for field in one.fields)) for one in self.stages)

    def draw(self, chance: random.Random) -> Architecture:
        """A uniformly random architecture."""
        return tuple(Stage(*(chance.choice(field) for field in one.fields)) for one in self.stages)

    def mutate(self, parent: Architecture, chance: random.Random, rate: float) -> Architecture:
        """A copy in which each choice is drawn again with probability ``rate``."""
        return tuple(
            Stage(
                *(
                    chance.choice(field) if chance.random() < rate else value
                    for field, value in zip(options.fields, stage, strict=True)
                )
            )
            for options, stage in zip(self.stages, parent, strict=True)
        )

    def cross(self, one: Architecture, other: Architecture, chance: random.Random) -> Architecture:
        """Each choice from one of the two parents."""
        return tuple(
            Stage(*(chance.choice(pair) for pair in zip(left, right, strict=True)))
            for left, right in zip(one, other, strict=True)
        )

    def around(self, centre: Architecture) -> Iterator[Architecture]:
        """``centre``, and every architecture that differs from it in one choice."""
        yield centre
        for number, options in enumerate(self.stages):
            for place, field in enumerate(options.fields):
                for value in field:
                    if value != centre[number][place]:
                        changed = Stage(*(*centre[number][:place], value, *centre[number][place + 1 :]))
                        yield (*centre[:number], changed, *centre[number + 1 :])


def plain(architecture: Architecture) -> list[list[int]]:
    """As lists of integers, for checkpoints and JSON."""
    return [list(stage) for stage in architecture]


def from_plain(stages: Sequence[Sequence[int]]) -> Architecture:
    """The inverse of :func:`plain`."""
    return tuple(Stage(*stage) for stage in stages)
