"""A discriminator's inputs from a network's output: vectors of the same size for both networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import Output
from kdzoo_adversarial.functional.versus import normalised_rows, shown_logits


@dataclass(frozen=True)
class Parts:
    """The compared parts of an output.

    Attributes:
        logits: whether class probabilities are compared.
        embedding: whether embeddings are compared.
        stages: the compared stages, shallow to deep.

    """

    logits: bool
    embedding: bool
    stages: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parts' names, in the order of a view's features."""
        return (
            *(["logits"] if self.logits else []),
            *(["embedding"] if self.embedding else []),
            *(f"stage{stage}" for stage in self.stages),
        )


class View(nn.Module):
    """A network's output as vectors: (B, P, D) for each part, where P is 1, or the positions of a map.

    Args:
        parts: the compared parts.
        temperature: temperature of the class probabilities.
        sizes: for each of ``parts.stages``, the height and width that the map is pooled to.
        projections: for the embedding, if compared, and each stage: (own size, projected size) for a linear
            layer to the other network's size; None is no projection.

    """

    def __init__(
        self,
        parts: Parts,
        temperature: float,
        sizes: Sequence[tuple[int, int]],
        projections: Sequence[tuple[int, int] | None],
    ) -> None:
        super().__init__()
        self.parts = parts
        self.temperature = temperature
        self.sizes = tuple(sizes)
        self.projections = nn.ModuleList(
            nn.Identity() if one is None else nn.Linear(*one) for one in projections
        )

    def forward(self, output: Output) -> Output:
        """The parts' vectors as the features of the output, in the order of ``parts.names``."""
        rows: list[Tensor] = []
        if self.parts.embedding:
            rows.append(output.embedded[:, None])
        for feature, size in zip(output.features, self.sizes, strict=True):
            pooled = feature if feature.shape[-2:] == size else functional.adaptive_avg_pool2d(feature, size)
            rows.append(pooled.flatten(2).transpose(1, 2))
        shown = [normalised_rows(one(row)) for one, row in zip(self.projections, rows, strict=True)]
        if self.parts.logits:
            shown.insert(0, shown_logits(output.logits, self.temperature)[:, None])
        return Output(output.logits, tuple(shown))


def make_views(
    parts: Parts, temperature: float, student: Output, teacher: Output
) -> tuple[View, View, tuple[int, ...]]:
    """Views of two networks from an example output of each, and the vector sizes of every part.

    Linear layers project the student's vectors to the teacher's size; the larger of two maps is pooled.
    """
    wide, narrow = _widths(parts, teacher), _widths(parts, student)
    sizes = [
        (min(one.shape[-2], other.shape[-2]), min(one.shape[-1], other.shape[-1]))
        for one, other in zip(student.features, teacher.features, strict=True)
    ]
    own = View(parts, temperature, sizes, list(zip(narrow, wide, strict=True)))
    others = View(parts, temperature, sizes, [None] * len(wide))
    return own, others, (*([teacher.logits.shape[1]] if parts.logits else []), *wide)


def _widths(parts: Parts, output: Output) -> list[int]:
    embedding = [output.embedded.shape[1]] if parts.embedding else []
    return [*embedding, *(feature.shape[1] for feature in output.features)]
