"""Self-attention transfer between vision transformers, after Wang, Wei, Dong, Bao, Yang and Zhou 2020."""

from __future__ import annotations

from math import isqrt
from typing import Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from kdzoo.api import Batch, KdzooError, Knowledge, Output, Probe, Run, Taps
from kdzoo_attention.functional import pool_tokens, token_attention_loss
from kdzoo_attention.stages import Stages
from kdzoo_attention.token_attention import AttentionWeights, ValueRelations


class ViTAttention(Knowledge):
    """The student's self-attention, and the relations between its values, match the teacher's.

    Args:
        value_weight: weight of the relations between values, relative to the attention; 0 switches them off.
        heads: ``match`` compares head by head, ``mean`` the averages over heads; ``auto`` matches where both
            have the same number.
        blocks: the student's blocks, counted from the last, -1, shallow to deep.
        teacher_blocks: the teacher's blocks, one for each of ``blocks``; None means the same.
    """

    name = "vit-attention"
    kind = "feature"
    reads_logits = True

    def __init__(
        self,
        value_weight: NonNegativeFloat = 1.0,
        heads: Literal["auto", "match", "mean"] = "auto",
        blocks: Stages = (-1,),
        teacher_blocks: Stages | None = None,
    ) -> None:
        super().__init__()
        if teacher_blocks is not None and len(teacher_blocks) != len(blocks):
            raise KdzooError(
                f"knowledge.teacher_blocks (vit-attention): {teacher_blocks} must pair up with blocks {blocks}"
            )
        self.heads: Literal["auto", "match", "mean"] = heads
        self.terms: list[tuple[Probe, Probe, float]] = [
            (AttentionWeights(blocks), AttentionWeights(teacher_blocks or blocks), 1.0)
        ]
        if value_weight:
            probes = ValueRelations(blocks), ValueRelations(teacher_blocks or blocks)
            self.terms.append((*probes, value_weight))
        self.blocks = len(blocks)
        self.taps = Taps(
            probes=tuple(ours for ours, _, _ in self.terms),
            teacher_probes=tuple(theirs for _, theirs, _ in self.terms),
        )

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """Refuse networks that cannot be compared; there is no connector."""
        for ours, theirs, _ in self.terms:
            require_token_attention("student", student, ours, self.blocks)
            require_token_attention("teacher", teacher, theirs, self.blocks)
            for one, other in same_tokens(student.extras[ours], teacher.extras[theirs]):
                if self.heads == "match" and one.shape[1] != other.shape[1]:
                    raise KdzooError(
                        f"knowledge 'vit-attention': the student has {one.shape[1]} heads and the teacher "
                        f"{other.shape[1]}, which cannot be matched; set knowledge.heads=mean"
                    )

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, averaged over the pairs of blocks."""
        losses = [
            weight * token_attention_loss(one, other, heads=self.heads, reduction="none")
            for ours, theirs, weight in self.terms
            for one, other in same_tokens(student.extras[ours], teacher.extras[theirs])
        ]
        return torch.stack(losses).sum(dim=0) / self.blocks


def same_tokens(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
    """For each block, both networks' attention between the same tokens: all, else patches on the coarser grid.

    Args:
        student: for each block (B, A, N, N) between all tokens, then (B, A, P, P) between patches.
        teacher: the same.

    Raises:
        KdzooError: the tokens differ and the patches are not on square grids.
    """
    pairs = []
    for ours, our_patches, theirs, their_patches in zip(
        student[::2], student[1::2], teacher[::2], teacher[1::2], strict=True
    ):
        counts = our_patches.shape[2], their_patches.shape[2]
        if ours.shape[2] == theirs.shape[2] and counts[0] == counts[1]:
            pairs.append((ours, theirs))
            continue
        if any(isqrt(count) ** 2 != count for count in counts):
            raise KdzooError(
                f"knowledge 'vit-attention': the student has {counts[0]} patches and the teacher {counts[1]}, "
                "which are compared on square grids only; give both roles one img_size and patch size"
            )
        side = isqrt(min(counts))
        pairs.append((pool_tokens(our_patches, side), pool_tokens(their_patches, side)))
    return pairs


def require_token_attention(side: str, output: Output, probe: Probe, blocks: int) -> None:
    """Refuse blocks that did not run as expected, or that do not attend from every token to every token.

    Raises:
        KdzooError: see above.
    """
    kept = output.extras[probe]
    complete = len(kept) == 2 * blocks and all(
        one.ndim == 4 and one.shape[0] == len(output.logits) and one.shape[2] == one.shape[3] > 1
        for one in kept
    )
    if not complete:
        raise KdzooError(
            f"knowledge 'vit-attention' compares attention from every token to every token, and the {side} attends "
            "otherwise in these blocks (within windows, to fewer tokens, or in a way that cannot be read); take a "
            "plain vision transformer, or knowledge 'at'"
        )
