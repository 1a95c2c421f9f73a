"""What all networks of this package share: stages, a head, and timm's methods around them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from timm.layers import SelectAdaptivePool2d
from torch import Tensor, nn

Steps = Sequence[str]
"""Names of modules that are called one after the other."""


class Staged(nn.Module):
    """A classifier that is a list of stages, global average pooling, and one linear layer.

    A subclass makes its modules, then calls :meth:`describe`. The stages are the maps that the published code
    returns, the stem's included: map i of n is stage i - n.

    Attributes:
        feature_info: a dict for each stage: channels, reduction, the module that returns the map.
        num_classes: K.
        in_chans: channels of the images.
        num_features: width of the embedding.
    """

    num_classes: int
    in_chans: int
    num_features: int
    head_hidden_size: int
    feature_info: list[dict[str, Any]]

    def describe(
        self,
        stages: Sequence[tuple[Steps, int, int]],
        *,
        width: int,
        num_classes: int,
        head: Steps = (),
        classifier: str = "fc",
        linear_std: float | None = None,
        zero_bias: bool = False,
    ) -> None:
        """Record the order of the modules, make the classifier, initialize.

        Args:
            stages: for each stage the modules that compute it, its channels, and by what it reduces the image.
            width: of the embedding.
            num_classes: K; 0 leaves out the classifier.
            head: the modules between the last stage and the pooling.
            classifier: name of the linear layer; ``NAME.0`` puts it into a Sequential.
            linear_std: standard deviation of its initial weights; None is torch's initialization.
            zero_bias: whether its bias is 0 at first.
        """
        self._stages = tuple(tuple(steps) for steps, _, _ in stages)
        self._head = tuple(head)
        self._classifier = classifier
        self._linear_std, self._zero_bias = linear_std, zero_bias
        self.feature_info = [
            {"num_chs": channels, "reduction": reduction, "module": steps[-1]}
            for steps, channels, reduction in stages
        ]
        self.in_chans = next(one.in_channels for one in self.modules() if isinstance(one, nn.Conv2d))
        self.num_features = self.head_hidden_size = width
        self.grad_checkpointing = False
        self.global_pool = SelectAdaptivePool2d(pool_type="avg", flatten=True)
        self.reset_classifier(num_classes)

    def get_classifier(self) -> nn.Module:
        """The linear layer; an identity for ``num_classes=0``."""
        return self.get_submodule(self._classifier)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new linear layer for ``num_classes``, or none for 0.

        Raises:
            ValueError: a pooling other than the average.
        """
        if global_pool not in (None, "avg"):
            raise ValueError(f"global_pool {global_pool!r}: these networks average")
        self.num_classes = num_classes
        layer: nn.Module = nn.Identity()
        if num_classes:
            layer = nn.Linear(self.num_features, num_classes)
            if self._linear_std is not None:
                nn.init.normal_(layer.weight, std=self._linear_std)
            if self._zero_bias or self._linear_std is not None:
                nn.init.zeros_(layer.bias)
        layer.train(self.training).to(next(self.parameters()).device)
        name, _, place = self._classifier.partition(".")
        setattr(self, name, nn.Sequential(layer) if place else layer)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to the map of the last stage."""
        for steps in self._stages:
            x = self._run(steps, x)
        return x

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """The map of the last stage and those of ``indices``, shallow to deep; arguments as timm's.

        Raises:
            ValueError: another format than NCHW.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt {output_fmt!r}: expected NCHW")
        count = len(self._stages)
        if isinstance(indices, int):
            indices = list(range(count - indices, count))
        wanted = range(count) if indices is None else [range(count)[index] for index in indices]
        kept = []
        for number, steps in enumerate(self._stages[: max(wanted) + 1] if stop_early else self._stages):
            x = self._run(steps, x)
            if number in wanted:
                kept.append(x)
        return kept if intermediates_only else (x, kept)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The map of the last stage to logits (B, K), or to the embedding (B, D) with ``pre_logits``."""
        x = self.global_pool(self._run(self._head, x))
        if pre_logits:
            return x
        logits: Tensor = self.get_classifier()(x)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to logits (B, K)."""
        return self.forward_head(self.forward_features(x))

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Groups of parameters by stage, as timm describes them: what layer-wise learning rates need."""
        stem, *others = (rf"^(?:{'|'.join(map(re.escape, steps))})\." for steps in self._stages)
        return {"stem": stem, "blocks": [(one, (number,)) for number, one in enumerate(others)]}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Refused: the networks are small.

        Raises:
            ValueError: on ``enable``.
        """
        if enable:
            raise ValueError(f"{type(self).__name__} has no gradient checkpointing")

    def _run(self, steps: Steps, x: Tensor) -> Tensor:
        for name in steps:
            x = self.get_submodule(name)(x)
        return x


def he_normal(model: nn.Module) -> None:
    """Convolutions from a normal distribution of variance 2 / (k k C_out), their biases 0; BatchNorm 1 and 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size at stride 1."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)


def strides(count: int, first: int) -> Iterator[tuple[int, int]]:
    """(number, stride) of the blocks of a stage: only the first block reduces."""
    return ((number, first if number == 0 else 1) for number in range(count))


def shuffled(x: Tensor, groups: int) -> Tensor:
    """The channels (B, g C, H, W), read as a g x C table, in the order of its transpose."""
    batch, channels, height, width = x.shape
    table = x.reshape(batch, groups, channels // groups, height, width)
    return table.transpose(1, 2).reshape(batch, channels, height, width)
