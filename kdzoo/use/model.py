"""A network that answers pictures, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kdzoo.data.listing import Pixels
from kdzoo.use.description import Description, Preprocessing

Answer = Callable[[Pixels], Tensor]
"""(B, H, W, C) uint8 -> (B, K) float32 on the CPU."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network in use.

    Attributes:
        name: as the user wrote it.
        description: its input and its output.
        answer: logits or features of prepared pictures, any number of them.
        bytes: of its files; of a network that has none, of its parameters and buffers in memory.
        module: the network in torch, from normalised (B, C, H, W) to logits; None of an exported file.
        folder: the folder that holds it, of an exported student.
        run: the folder of its run, if it lies in one.
    """

    name: str
    description: Description
    answer: Answer
    bytes: int
    module: nn.Module | None = None
    folder: Path | None = None
    run: Path | None = None


class FromPixels(nn.Module):
    """Pixels (B, H, W, C) uint8 to what ``network`` returns for them when they are normalised.

    Args:
        network: takes normalised (B, C, H, W).
        preprocessing: has mean and std.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocessing, name), dtype=torch.float32)
            self.register_buffer(name, values.reshape(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, K)."""
        scaled = image.permute(0, 3, 1, 2).to(torch.float32) / 255
        answered: Tensor = self.network((scaled - self.mean) / self.std)
        return answered


def answers_of(module: nn.Module, preprocessing: Preprocessing, device: torch.device) -> Answer:
    """What a torch network answers, on a device."""
    whole = FromPixels(module, preprocessing).to(device)

    @torch.inference_mode()
    def answer(pixels: Pixels) -> Tensor:
        answered: Tensor = whole(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))
        return answered.float().cpu()

    return answer


def normalised(pixels: Pixels, preprocessing: Preprocessing) -> Pixels | np.ndarray:
    """The input of an exported file: the pixels themselves, or (B, C, H, W) float32."""
    if preprocessing.included:
        return pixels
    mean, std = (np.asarray(one, np.float32) for one in (preprocessing.mean, preprocessing.std))
    scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def in_batches(pixels: Pixels, batch: int | None) -> Iterator[tuple[Pixels, int]]:
    """Parts of so many pictures, the last one filled with black ones, each with the number of its own."""
    if batch is None:
        yield pixels, len(pixels)
        return
    for start in range(0, len(pixels), batch):
        part = pixels[start : start + batch]
        filled = np.zeros((batch, *part.shape[1:]), part.dtype)
        filled[: len(part)] = part
        yield filled, len(part)


def multiply_adds(module: nn.Module, preprocessing: Preprocessing) -> int:
    """For one picture: half of the floating-point operations that torch counts."""
    parameter = next(module.parameters(), torch.empty(0))
    image = torch.zeros(1, *preprocessing.input_size, device=parameter.device)
    # With a graph: without one, torch's counter fails on parameters that are arguments, such as a class token.
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        module(image)
    return int(counter.get_total_flops()) // 2
