"""The architectures that a search chooses from, as choices of width, depth and kernel for each stage."""

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
        width: its channels, as timm's argument counts them.
        depth: its number of blocks.
        kernel: the size of its kernels; 0 where the family has no choice.

    """

    width: int
    depth: int
    kernel: int = 0


Architecture = tuple[Stage, ...]
"""One stage after the other, shallow to deep."""


@dataclass(frozen=True)
class Options:
    """What a stage may be: each combination of these, ascending."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...] = (0,)

    def __iter__(self) -> Iterator[Stage]:
        """Every choice for the stage."""
        return (Stage(*one) for one in product(self.widths, self.depths, self.kernels))

    @property
    def fields(self) -> tuple[tuple[int, ...], ...]:
        """The options in the order of a :class:`Stage`."""
        return self.widths, self.depths, self.kernels


@dataclass(frozen=True)
class Space:
    """Every combination of the stages' options.

    Chance comes as Python's ``random.Random``: it is the same in each process and on each device, and drawing costs
    the device no wait.

    Attributes:
        stages: the options of each stage, shallow to deep.

    """

    stages: tuple[Options, ...]

    def __len__(self) -> int:
        return math.prod(math.prod(map(len, one.fields)) for one in self.stages)

    @property
    def largest(self) -> Architecture:
        """The widest and deepest."""
        return tuple(Stage(*(max(field) for field in one.fields)) for one in self.stages)

    @property
    def smallest(self) -> Architecture:
        """The narrowest and shallowest."""
        return tuple(Stage(*(min(field) for field in one.fields)) for one in self.stages)

    def draw(self, chance: random.Random) -> Architecture:
        """One of all architectures, each equally likely."""
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
        """Each choice from the one parent or the other."""
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
