"""Search with block-wise supervision by the teacher: Li, Peng, Yuan, Wang, Liang, Lin and Chang 2020."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from kdzoo.api import Backbone, Batch, Phase, Run, pool_to_smaller
from kdzoo_nas.blocks import Blocks
from kdzoo_nas.budget import Budget
from kdzoo_nas.functional import relative_error
from kdzoo_nas.hints import Fraction
from kdzoo_nas.paths import Choice, Pair, pairs, paths
from kdzoo_nas.search import Search, image_of, need_teacher, search_images
from kdzoo_nas.space import Architecture
from kdzoo_nas.supernet import Builder
from kdzoo_nas.trace import Trace

_SHOWN = 200
"""Random architectures for the picture, in addition to the found one."""


class Dna(Search):
    """Each block of a weight-sharing network learns to map one stage of the teacher to the next.

    The blocks are trained independently, so that few choices share each weight. Then every choice of every
    block is rated by its error, and an exact search finds the architecture with the smallest sum within the
    budget.

    Args:
        fraction: fraction of the recipe's epochs for the blocks.
        drawn: choices of each block per step.
        batches: number of batches of images for the rating.

    """

    name = "dna"
    exempt: ClassVar = {
        "hyper-parameter:batches": "with two widths, a few more images do not change the choice"
    }

    def __init__(
        self,
        fraction: Fraction = 0.5,
        drawn: PositiveInt = 1,
        batches: PositiveInt = 8,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.fraction = fraction
        self.drawn, self.batches = drawn, batches

    def look(self, run: Run, builder: Builder, epochs: int) -> Iterator[Phase]:
        """Phase ``blocks``: in each step, all blocks with some choices of each."""
        teacher, student = need_teacher(run, self.name), run.roles["student"]
        assert isinstance(student, Backbone)
        blocks = Blocks(builder, student, teacher)
        run.enroll("blocks", blocks, student=False)
        steps = epochs * len(run.data.train)  # type: ignore[arg-type]  # the loop needs its length too

        def step(batch: Batch) -> Mapping[str, Tensor]:
            chance = random.Random(f"{self.name}/{run.recipe.seed}/{round(batch.progress * steps)}")
            targets = _targets(run, batch, blocks.stages)
            errors = []
            for number in range(len(targets)):
                for _ in range(self.drawn):
                    pair = pairs(builder.space.draw(chance))[number]
                    errors.append(_error(run, blocks, batch, targets, number, pair, power=2))
            error = torch.stack(errors).sum() / self.drawn
            run.update(error, "blocks")
            return {"error": error}

        yield Phase("blocks", run.data.train, step, epochs, validate=False)
        run.enroll("blocks", blocks, learns=False, student=False)

    def find(self, run: Run, builder: Builder, bounds: Budget) -> Trace:
        """Rate every choice, then find the architecture with the smallest sum of errors."""
        blocks = run.roles["blocks"]
        assert isinstance(blocks, Blocks)
        ratings = rate(run, blocks, search_images(run, self.batches))
        layers = [
            {pair: Choice(error, blocks.size(number, *pair)) for pair, error in rated.items()}
            for number, rated in enumerate(ratings)
        ]
        in_order = paths(layers, bounds.most_parameters)
        found = next(one for one in in_order if bounds.most_milliseconds is None or bounds.allows(one))
        if bounds.most_milliseconds is None:
            chance = random.Random(f"{self.name}/{run.recipe.seed}/picture")
            shown = tuple(dict.fromkeys([*(builder.space.draw(chance) for _ in range(_SHOWN)), found]))
            # Sizes are additive, as errors are: architectures for the picture need not be built.
            costs: list[float] = [
                sum(layer[pair].size for layer, pair in zip(layers, pairs(one), strict=True)) for one in shown
            ]
        else:  # measuring is slow: show only architectures that were measured already
            shown = tuple(dict.fromkeys([*bounds.measured, found]))
            costs = [bounds.cost(one) for one in shown]
        return Trace(
            shown,
            tuple(map(float, costs)),
            tuple(-total(ratings, one) for one in shown),
            found,
            bounds.unit,
            "minus the sum of the blocks' errors",
        )


@torch.no_grad()
def rate(run: Run, blocks: Blocks, batches: list[Batch]) -> list[dict[Pair, float]]:
    """The mean relative error of every choice of every block, after every width before it.

    Args:
        run: the run, with the teacher.
        blocks: the trained blocks.
        batches: the batches; BatchNorm uses each batch's statistics.

    """
    space = blocks.net.builder.space
    seen = [(batch, _targets(run, batch, blocks.stages)) for batch in batches]
    ratings: list[dict[Pair, float]] = []
    for number, options in enumerate(space.stages):
        widths = space.stages[number - 1].widths if number else (0,)
        choices = [(width, own) for width in widths for own in options]
        errors = [
            torch.stack(
                [_error(run, blocks, batch, targets, number, pair, power=1) for batch, targets in seen]
            ).mean()
            for pair in choices
        ]
        ratings.append(dict(zip(choices, torch.stack(errors).tolist(), strict=True)))
    return ratings


def total(ratings: list[dict[Pair, float]], architecture: Architecture) -> float:
    """The sum of an architecture's errors."""
    return sum(rated[pair] for rated, pair in zip(ratings, pairs(architecture), strict=True))


def _targets(run: Run, batch: Batch, stages: tuple[int, ...]) -> tuple[Tensor, ...]:
    """The teacher's stages for this batch."""
    teacher = run.roles["teacher"]
    with torch.no_grad(), run.autocast():
        features: tuple[Tensor, ...] = teacher(
            batch.inputs[run.recipe.roles["teacher"].modality], stages
        ).features
    return features


def _error(
    run: Run,
    blocks: Blocks,
    batch: Batch,
    targets: tuple[Tensor, ...],
    number: int,
    pair: Pair,
    power: Literal[1, 2],
) -> Tensor:
    with run.autocast():
        answer = blocks.answer(number, *pair, image_of(run, batch), targets)
    return relative_error(*pool_to_smaller(answer.float(), targets[number].float()), power=power)
