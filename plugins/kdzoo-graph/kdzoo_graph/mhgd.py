"""Graphs by multi-head attention: Lee and Song 2019."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Annotated, ClassVar, cast

import torch
from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from kdzoo.api import Batch, Knowledge, Output, Ramp, Run, Taps, at_least_float32, without_autocast
from kdzoo_graph.functional import graph_divergence, main_direction

Stages = Annotated[tuple[int, ...], Field(min_length=2), AfterValidator(lambda stages: Taps(stages).student)]
"""Stages counted from the deepest, -1, ordered from shallow to deep; at least two."""


class MHGD(Knowledge):
    """Attention graphs between the samples at consecutive stages, with heads trained on the teacher only.

    Each map is compressed to its main direction over channels. Between two consecutive stages, attention
    heads learn to predict the teacher's deeper vectors from its shallower ones; their attention is the graph.
    The same heads, as constants, give the student's graph, which is trained to match the teacher's.

    Args:
        stages: the stages, each connected to the next, counted from the deepest, -1.
        heads: number of attention heads for each pair of stages.
        width: width of each head; None is the mean of the two stages' widths, as in the authors' code.
        estimate: weight of the loss that trains the heads; it does not reach the student.
        scaled: divide the input of tanh by the square root of the heads' width, so that it saturates less.
        warmup: the fraction of the phase over which the transfer loss grows from 0 to its weight, while the
            heads learn.
    """

    name = "mhgd"
    kind = "relation"
    exempt: ClassVar = {"batch-order": "the dropped heads of a sample depend on its position in the batch"}

    def __init__(
        self,
        stages: Stages = (-3, -2, -1),
        heads: PositiveInt = 8,
        width: PositiveInt | None = None,
        estimate: NonNegativeFloat = 1.0,
        scaled: bool = False,
        warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__()
        self.taps = Taps(student=stages)
        self.heads = heads
        self.width = width
        self.estimate = estimate
        self.scaled = scaled
        self.ramp = Ramp(until=warmup)
        self.attentions = nn.ModuleList()
        self.widen = nn.ModuleList()
        self._generator: Callable[[], torch.Generator] | None = None

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """The heads for each pair of stages, and a linear map of the student's vectors where widths differ."""
        self._generator = partial(run.generator, "mhgd")  # looked up in each step: a resume replaces it
        for ours, theirs in zip(student.features, teacher.features, strict=True):
            settings = {"device": ours.device, "dtype": at_least_float32(ours.dtype)}
            width, wanted = ours.shape[1], theirs.shape[1]
            self.widen.append(
                nn.Identity() if width == wanted else nn.Linear(width, wanted, bias=False, **settings)
            )
        for shallow, deep in pairwise(teacher.features):
            attention = Attention(shallow.shape[1], deep.shape[1], self.heads, self.width, self.scaled)
            self.attentions.append(attention.to(deep.device, at_least_float32(deep.dtype)))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, one for each attending sample, summed over pairs of stages."""
        weight = self.ramp(batch.progress)
        losses = []
        generator = self._generator() if self._generator else None
        with without_autocast(student.features[0]):
            theirs = [main_direction(feature) for feature in teacher.features]
            ours = [
                functional.normalize(widen(main_direction(feature)), dim=1)
                for widen, feature in zip(self.widen, student.features, strict=True)
            ]
            pairs = zip(self.attentions, pairwise(ours), pairwise(theirs), strict=True)
            for module, (our_shallow, our_deep), (shallow, deep) in pairs:
                attention = cast(Attention, module)
                graph = attention(shallow, deep)
                losses.append(self.estimate * (1 - attention.likeness(graph, shallow, deep, generator)))
                frozen = {name: value.detach() for name, value in attention.named_parameters()}
                our_graph = functional_call(attention, frozen, (our_shallow, our_deep))
                losses.append(weight * graph_divergence(our_graph, graph.detach()))
        return torch.stack(losses).sum(dim=0)


class Attention(nn.Module):
    """Attention heads from the samples at a deep stage to those at a shallow one, and the score that trains them.

    Args:
        shallow: C, width of the shallow stage's vectors.
        deep: C', width of the deep stage's vectors.
        heads: number of heads.
        width: width of each head; None is the mean of the stages' widths.
        scaled: whether products are divided by the square root of the heads' width.
    """

    def __init__(
        self, shallow: int, deep: int, heads: int, width: int | None = None, scaled: bool = False
    ) -> None:
        super().__init__()
        self.heads = heads
        width = width or (shallow + deep) // 2
        self.scale = width**-0.5 if scaled else 1.0
        # Without bias: the result is standardised over the batch.
        self.sender = nn.Linear(deep, heads * width, bias=False)
        self.receiver = nn.Linear(shallow, heads * width, bias=False)
        self.value = nn.Linear(shallow, width, bias=False)
        self.mix = nn.Linear(heads * width, deep)

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        """The graph before tanh and softmax.

        Args:
            shallow: (B, C).
            deep: (B, C').

        Returns:
            (heads, B, B): at [h, i, j], the attention of the deep sample i to the shallow sample j.
        """
        senders = _standardise(self.sender(deep))
        receivers = _standardise(self.receiver(shallow))
        by_head = (len(deep), self.heads, -1)
        return self.scale * torch.einsum("bhd,chd->hbc", senders.reshape(by_head), receivers.reshape(by_head))

    def likeness(
        self, graph: Tensor, shallow: Tensor, deep: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """(B,) cosines between the deep vectors and the heads' prediction from the shallow ones.

        For each sample about half of the heads are dropped at random, so that each must be useful.
        """
        attention = graph.softmax(dim=2)
        noise = torch.randn(graph.shape[:2], generator=generator, device=graph.device)
        attention = attention * (noise >= noise.mean(dim=0)).unsqueeze(2)
        value = self.value(shallow)
        gathered = attention @ _standardise(value).relu()  # (heads, B, width)
        estimated = self.mix(gathered.transpose(0, 1).flatten(1))
        return functional.cosine_similarity(estimated, deep, dim=1)


def _standardise(value: Tensor) -> Tensor:
    """Batch normalisation without weights and running statistics: each side by its own batch."""
    return (value - value.mean(dim=0)) / (value.var(dim=0, correction=0) + 1e-5).sqrt()
