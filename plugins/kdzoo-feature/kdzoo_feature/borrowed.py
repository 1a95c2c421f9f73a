"""A student with the teacher's classifier."""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import Assembled, Backbone, KdzooError, Output, Probe, evaluating


class Borrowed(Assembled):
    """The student up to its last stage, a projector to the teacher's channels, and the teacher's frozen head.

    The student's own layers after its last stage are dropped. Stage -1 is the projected map.

    Args:
        student: modified in place: its own head is removed.
        teacher: only read.
        factor: the projector's inner channels are the teacher's divided by this.

    Raises:
        KdzooError: the teacher's logits are not a function of its last map.
    """

    def __init__(self, student: Backbone, teacher: Backbone, factor: int = 2) -> None:
        super().__init__()
        ours, theirs = _last_map(student), _last_map(teacher)
        used = _head_parts(teacher, theirs)
        self.head = deepcopy(teacher)
        _drop(self.head, {name for name, _ in teacher.model.named_children()} - used)
        try:
            _drop(student, _head_parts(student, ours))
        except KdzooError:  # a transformer: its last norm stays, unused
            student.model.reset_classifier(0)
        self.backbone = student
        self.size: tuple[int, ...] = tuple(theirs.shape[2:])
        self.project = projector(
            ours.shape[1], theirs.shape[1], factor, rectified=bool((theirs >= 0).all())
        ).to(ours.device)
        self.requires_grad_()
        self.train()

    def forward(
        self,
        image: Tensor,
        stages: tuple[int, ...] = (),
        embedding: bool = False,
        probes: tuple[Probe, ...] = (),
    ) -> Output:
        """As for a backbone; the embedding is the input of the teacher's classifier."""
        inner = self.backbone(image, tuple(sorted({*stages, -1})), False, probes)
        *shallow, last = inner.features
        size = min(last.shape[2], self.size[0]), min(last.shape[3], self.size[1])
        if last.shape[2:] != size:
            last = functional.adaptive_avg_pool2d(last, size)
        projected = self.project(last)
        read: list[Tensor] = []
        handle = None
        if embedding:
            handle = self.head.classifier.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
        try:
            logits = self.head.head(projected)
        finally:
            if handle is not None:
                handle.remove()
        features = (*shallow, projected) if -1 in stages else tuple(shallow)
        return Output(logits, features, read[0].flatten(1) if read else None, inner.extras)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set it for everything except the teacher's head, which stays frozen."""
        super().requires_grad_(requires_grad)
        self.head.requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything except the teacher's head, which stays in eval mode."""
        super().train(mode)
        self.head.eval()
        return self


def projector(ours: int, theirs: int, factor: int, *, rectified: bool) -> nn.Sequential:
    """1x1, 3x3 and 1x1 convolutions with BatchNorm and ReLU; the last ReLU only where ``rectified``."""
    inside = max(theirs // factor, 1)
    layers: list[nn.Module] = []
    for channels, wanted, side in ((ours, inside, 1), (inside, inside, 3), (inside, theirs, 1)):
        layers += [
            nn.Conv2d(channels, wanted, side, padding=side // 2, bias=False),
            nn.BatchNorm2d(wanted),
            nn.ReLU(),
        ]
    return nn.Sequential(*(layers if rectified else layers[:-1]))


def _last_map(network: Backbone) -> Tensor:
    """The network's stage -1 for two synthetic images, in eval mode."""
    where = next(network.parameters())
    height, width = network.input_size
    image = torch.linspace(0, 1, 2 * network.channels * height * width, device=where.device)
    with evaluating(network), torch.no_grad():
        answer: Output = network(image.view(2, network.channels, height, width), (-1,))
    return answer.features[0]


def _head_parts(network: Backbone, feature: Tensor) -> set[str]:
    """Names of the model's children that compute the logits from the last stage.

    Raises:
        KdzooError: its logits are not a function of its last map.
    """
    with evaluating(network), torch.no_grad():
        network.head(feature)  # its first call checks itself with a pass through the whole model
        called: set[nn.Module] = set()
        handles = [
            module.register_forward_pre_hook(lambda module, _: called.add(module))
            for module in network.model.modules()
        ]
        try:
            network.head(feature)
        finally:
            for handle in handles:
                handle.remove()
    return {name for name, child in network.model.named_children() if not called.isdisjoint(child.modules())}


def _drop(network: Backbone, names: Collection[str]) -> None:
    for name in names:
        setattr(network.model, name, _Nothing())


class _Nothing(nn.Module):
    """An identity in place of a removed part of a model."""

    def forward(self, given: Tensor, *others: Any, **settings: Any) -> Tensor:
        """Return the input."""
        return given
