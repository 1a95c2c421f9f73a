"""The blocks of a weight-sharing network, each between two stages of a teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d

from kdzoo.api import Backbone, KdzooError, evaluating
from kdzoo_nas.functional import cut
from kdzoo_nas.space import Architecture, Stage
from kdzoo_nas.supernet import Builder, SuperNet


class Blocks(nn.Module):
    """A block is a stage of the student's family; the first has the stem in it.

    The first block's input is the image. The input of each other is the teacher's preceding stage, pooled to
    the student's size and mapped from the teacher's channels by a 1x1 convolution; another one maps its
    output to the teacher's channels.

    Args:
        builder: of the architectures.
        student: a network of the family, which determines the sizes of the maps.
        teacher: must have at least as many stages as the student's family.

    Raises:
        KdzooError: the teacher has too few stages.

    """

    def __init__(self, builder: Builder, student: Backbone, teacher: Backbone) -> None:
        super().__init__()
        count = len(builder.space.stages)
        self.stages = tuple(range(-count, 0))
        if teacher.num_stages < count:
            raise KdzooError(
                f"algorithm 'dna' needs a teacher that shows {count} stages, as the student's family has; "
                f"{teacher.name!r} shows {teacher.num_stages}: take a convolutional one such as resnet18"
            )
        self.net = SuperNet(builder)
        channels = [one.shape[1] for one in _maps(teacher, self.stages)]
        self.sizes = [(one.shape[-2], one.shape[-1]) for one in _maps(student, self.stages)]
        widest = [info["num_chs"] for info in builder.skeleton(builder.space.largest).model.feature_info]
        widest = widest[-count:]
        generator = torch.Generator().manual_seed(0)
        self.enter = nn.ParameterList(
            [
                _convolution(width, theirs, generator)
                for width, theirs in zip(widest[:-1], channels[:-1], strict=True)
            ]
        )
        self.leave = nn.ParameterList(
            [_convolution(theirs, width, generator) for width, theirs in zip(widest, channels, strict=True)]
        )
        self.offset = nn.ParameterList([torch.zeros(theirs) for theirs in channels])

    def answer(
        self, number: int, width: int, own: Stage, image: Tensor, targets: tuple[Tensor, ...]
    ) -> Tensor:
        """The output of a choice of a block.

        Args:
            number: number of the block, from 0.
            width: width of the preceding stage; 0 for the first.
            own: the choice.
            image: (B, C, H, W) in [0, 1], the first block's input.
            targets: the teacher's stages, shallow to deep.

        Returns:
            (B, C', H', W') with the channels of the teacher's stage and the student's height and width.

        """
        architecture = self.around(number, width, own)
        if number == 0:
            made = self.net.call(architecture, image, stages=self.stages[:1]).features[0]
        else:
            entry = self.enter[number - 1]
            info = self.net.builder.skeleton(architecture).model.feature_info
            channels = info[len(info) - len(self.stages) + number - 1]["num_chs"]
            read = adaptive_avg_pool2d(targets[number - 1], self.sizes[number - 1])
            read = conv2d(read, cut(entry, (channels, *entry.shape[1:])))
            made = self.net.call_block(architecture, number, read)
        leave = self.leave[number]
        return conv2d(made, cut(leave, (len(leave), made.shape[1], 1, 1)), self.offset[number])

    def around(self, number: int, width: int, own: Stage) -> Architecture:
        """The smallest architecture with this choice."""
        chosen = list(self.net.builder.space.smallest)
        chosen[number] = own
        if number:
            chosen[number - 1] = chosen[number - 1]._replace(width=width)
        return tuple(chosen)

    def size(self, number: int, width: int, own: Stage) -> int:
        """Parameters of a choice; the stem counts for the first block, the classifier for the last."""
        builder = self.net.builder
        last = len(self.stages) - 1
        architecture = self.around(number, width, own)
        size = builder.parameters(architecture, builder.block(number))
        if number == 0:
            size += self._rest(architecture)
        if number == last:
            size += self._rest(architecture) - (self._rest(builder.space.smallest) if last else 0)
        return size

    def _rest(self, architecture: Architecture) -> int:
        """Parameters outside the stages."""
        builder = self.net.builder
        inside = [builder.parameters(architecture, builder.block(one)) for one in range(len(self.stages))]
        return builder.parameters(architecture) - sum(inside)


@torch.no_grad()
def _maps(network: Backbone, stages: tuple[int, ...]) -> tuple[Tensor, ...]:
    image = torch.zeros(2, network.channels, *network.input_size, device=network.mean.device)
    with evaluating(network):
        features: tuple[Tensor, ...] = network(image, stages).features
    return features


def _convolution(out: int, into: int, generator: torch.Generator) -> Tensor:
    """An initial 1x1 kernel that preserves the variance."""
    kernel: Tensor = torch.randn(out, into, 1, 1, generator=generator, device=generator.device) / into**0.5
    return kernel
