"""The data of the three interfaces: a batch, and a network's output for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kdzoo.api.probe import Probe
from kdzoo.errors import KdzooError

UNLABELLED = -1
"""The class id of a sample whose label is withheld; the task loss leaves such samples out."""


def labelled(target: Tensor) -> Tensor:
    """(B,) bool: which rows of a batch's target, (B,) or (B, K), are not withheld."""
    return (target > 0).any(1) if target.ndim == 2 else target != UNLABELLED


@dataclass(frozen=True, eq=False)
class Origin:
    """Where the images of a training batch come from.

    Attributes:
        epoch: of the run, from 0.
        step: of the epoch, from 0.
        steps: of the epoch in all.
        index: (B,) int64 on the CPU: ``Batch.index``.
        inputs: the images themselves.
        versions: modality -> how often they had been changed in place.
        part: names a part of the training split; empty for the whole one.
    """

    epoch: int
    step: int
    steps: int
    index: Tensor
    inputs: Mapping[str, Tensor]
    versions: Mapping[str, int]
    part: str = ""

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return next(iter(self.inputs.values())).device

    def holds(self, batch: Batch, modality: str) -> bool:
        """Whether the batch still has these images, unchanged."""
        image = batch.inputs.get(modality)
        return (
            image is not None
            and image is self.inputs.get(modality)
            and image._version == self.versions[modality]
        )

    def shows(self, batch: Batch, modality: str) -> bool:
        """Whether the batch has these images, or a part of them, unchanged."""
        image, own = batch.inputs.get(modality), self.inputs.get(modality)
        if image is None or own is None or image._version != self.versions[modality]:
            return False
        alike = image.shape[1:] == own.shape[1:] and image.stride()[1:] == own.stride()[1:]
        return alike and image.untyped_storage().data_ptr() == own.untyped_storage().data_ptr()


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch of samples.

    Attributes:
        index: (B,) int64, the position of each sample in its data set, stable over epochs; -1 = synthetic.
        inputs: modality -> (B, C, H, W) float in [0, 1]; the usual modality is ``"image"``.
        target: (B,) int64 class ids (:data:`UNLABELLED` = withheld) or (B, K) probabilities (zeros = withheld);
            None = unlabelled.
        progress: progress of the phase, from 0 at its first step to just under 1 at its last.
        origin: where the training split took the images from; None for any other batch. It says nothing of a batch
            whose inputs were replaced.
    """

    index: Tensor
    inputs: Mapping[str, Tensor]
    target: Tensor | None = None
    progress: float = 0.0
    origin: Origin | None = None

    def __len__(self) -> int:
        return self.index.shape[0]

    @property
    def labelled(self) -> Tensor:
        """(B,) bool: which samples have a label."""
        if self.target is None:
            return torch.zeros_like(self.index, dtype=torch.bool)
        return labelled(self.target)


class _Logits:
    """The field ``logits``: set to None for a network without a classifier, which refuses to be read."""

    def __get__(self, output: Output | None, owner: type[Output] | None = None) -> Tensor:
        if output is None:  # asked by dataclass for a default, which there is none
            raise AttributeError("logits")
        found: Tensor | None = vars(output)["_logits"]
        if found is None:
            raise KdzooError(
                f"the {output.role or 'network'} has no classifier, and logits are needed here: give it one "
                f"(--set roles.{output.role or 'ROLE'}.head=true), or choose a method on features or embeddings"
            )
        return found

    def __set__(self, output: Output, value: Tensor | None) -> None:
        object.__setattr__(output, "_logits", value)


@dataclass(frozen=True, eq=False, repr=False)
class Output:
    """One role's output for one batch.

    Attributes:
        logits: (B, K), before the softmax. Given None, as by a network without a classifier, reading them raises a
            KdzooError that names the role; :attr:`has_logits` tells.
        features: the tapped stages, each (B, C, H, W), shallow to deep; stage 0, the last map, comes last.
        embedding: (B, D), None unless tapped: the input of the classifier; without a classifier, what timm's
            ``forward_head(forward_features(image), pre_logits=True)`` returns.
        extras: the tensors of each tapped probe.
        role: whose output it is, for messages.
    """

    logits: _Logits = _Logits()
    features: tuple[Tensor, ...] = ()
    embedding: Tensor | None = None
    extras: Mapping[Probe, tuple[Tensor, ...]] = field(default_factory=dict)
    role: str = ""

    @property
    def has_logits(self) -> bool:
        """Whether :attr:`logits` can be read."""
        return vars(self)["_logits"] is not None

    @property
    def embedded(self) -> Tensor:
        """The embedding (B, D), if it was tapped.

        Raises:
            KdzooError: the role has none.
        """
        if self.embedding is None:
            raise KdzooError(
                "this answer has no embedding: ask for it by Taps(embedding=True) or run.tap(role, embedding=True); "
                "a role that is computed from others must give it in its Output"
            )
        return self.embedding

    def showing(
        self,
        features: tuple[Tensor, ...],
        embedding: Tensor | None,
        extras: Mapping[Probe, tuple[Tensor, ...]],
    ) -> Output:
        """The same logits, if there are any, with other features, embedding and extras."""
        return Output(self.logits if self.has_logits else None, features, embedding, extras, self.role)

    def map(self, change: Callable[[Tensor], Tensor]) -> Output:
        """The same output with ``change`` applied to each of its tensors."""
        return Output(
            change(self.logits) if self.has_logits else None,
            tuple(change(feature) for feature in self.features),
            None if self.embedding is None else change(self.embedding),
            {probe: tuple(change(one) for one in kept) for probe, kept in self.extras.items()},
            self.role,
        )

    def detach(self) -> Output:
        """The same output, detached from its graph."""
        return self.map(torch.Tensor.detach)
