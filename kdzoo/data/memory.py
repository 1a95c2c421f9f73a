"""Images that are decoded already, in memory, in a mapped file or on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from kdzoo.data.images import Piece
from kdzoo.data.listing import Pixels

_PART_OF_FREE_MEMORY = 0.5


def to_device(images: Pixels, device: torch.device) -> Tensor:
    """The images (N, H, W, C) uint8 as a tensor, on the device if they fit into half of its free memory.

    On the CPU nothing is copied.
    """
    store = torch.from_numpy(images)
    if device.type == "cuda" and store.nbytes > _PART_OF_FREE_MEMORY * torch.cuda.mem_get_info(device)[0]:
        return store
    return store.to(device)


class Memory:
    """Reads a split out of a store.

    Args:
        store: (N, H, W, C) uint8, on the device or on the CPU.
        position: (n,) int64: where in the store each sample of the split lies.
        device: where the pieces are wanted.
        check: is called before images are read out of a store on the CPU, which may be a mapped file.
        sizes: (N, 2) int64: true widths and heights of pictures that are squashed.

    """

    def __init__(
        self,
        store: Tensor,
        position: Tensor,
        device: torch.device,
        check: Callable[[], None],
        sizes: Tensor | None = None,
    ) -> None:
        self._store = store
        self._sizes = None if sizes is None else sizes.to(store.device)
        self._check = check if store.device.type == "cpu" else lambda: None
        self._position = position.to(store.device)
        self._device = device

    def read(self, batches: Sequence[Tensor], drawn: Sequence[Tensor], epoch: int) -> Iterator[Piece]:
        """The images of each batch of positions in the split; the same in every epoch."""
        if not batches:
            return
        # one transfer an epoch: each makes the host wait for the device
        everything = torch.cat(list(batches)).to(self._device)
        on_device = torch.split(everything, [len(chosen) for chosen in batches])
        for chosen, here in zip(batches, on_device, strict=True):
            self._check()
            if self._store.device == self._position.device == here.device:
                at = self._position[here]
                yield Piece(self._store, at, here, self._sizes_at(at))
            else:
                yield self._carried(chosen, here)

    def pick(self, chosen: Tensor) -> Piece:
        """The images at these positions (on the device); the host waits only if it holds the store."""
        self._check()
        if self._store.device == chosen.device:
            at = self._position.index_select(0, chosen)
            return Piece(self._store, at, chosen, self._sizes_at(at))
        return self._carried(chosen.to(self._store.device), chosen)

    def _carried(self, chosen: Tensor, here: Tensor) -> Piece:
        at = self._position.index_select(0, chosen)
        images, sizes = self._store.index_select(0, at), self._sizes_at(at)
        if self._device.type == "cuda":
            images = images.pin_memory()
        images = images.to(self._device, non_blocking=True)
        sizes = None if sizes is None else sizes.to(self._device)
        return Piece(images, torch.arange(len(here), device=self._device), here, sizes)

    def _sizes_at(self, at: Tensor) -> Tensor | None:
        return None if self._sizes is None else self._sizes.index_select(0, at)
