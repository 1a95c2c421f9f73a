"""One split of a timm data set as a listing, whether timm reads it with random access or only as a stream."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from PIL import Image

from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.decode import fit, usual_side
from kdzoo.data.file_listing import size_and_time
from kdzoo.data.listing import Targets, digest
from kdzoo.errors import KdzooError


class TimmListing:
    """A split that timm reads with random access."""

    def __init__(self, what: str, dataset: Any, root: Path | None) -> None:
        self._dataset = dataset
        self._reader = getattr(dataset, "reader", None)
        self._root = root
        self._what = what
        self.targets = _targets(dataset, self._reader)
        self.names = self.keys = tuple(f"{what} {row}" for row in range(len(self.targets)))

    def load(self, row: int) -> Image.Image:
        """The image; from the reader where there is one, because timm's data set skips what it cannot read."""
        if self._reader is None:
            image: Image.Image = self._dataset[row][0]
            return image
        with self._reader[row][0] as file:
            return Image.open(io.BytesIO(file.read()))

    @cached_property
    def stamp(self) -> str:
        """Digest of the name, the targets, the library's own fingerprint and the files below the root."""
        fingerprint = getattr(getattr(self._reader, "dataset", None), "_fingerprint", "")
        return digest((self.manifest, fingerprint, *_files(self._root)))

    @cached_property
    def manifest(self) -> str:
        """Digest of the name and the targets."""
        return digest((self._what, *self.targets.tolist()))


def drain(what: str, dataset: Any, img_size: int | None, limit_bytes: float) -> ArrayListing:
    """A split that timm reads only as a stream, read to its end and kept in memory.

    Raises:
        KdzooError: it decodes to more than ``limit_bytes``, is empty, or there are several processes.

    """
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        raise KdzooError(
            f"{what}: timm deals a stream out to the processes, so that none knows all samples; "
            "run one process, or use a set with random access (folder, torch/ or hfds/)"
        )
    images, targets = [], []
    for image, target in dataset:
        if img_size is None:
            img_size = usual_side([image.size])
        images.append(fit(image, img_size))
        targets.append(int(target))
        if len(images) * images[0].nbytes > limit_bytes:
            raise KdzooError(
                f"{what} decodes to more than data.cache_gb = {limit_bytes / 1e9:g}, and timm reads it only as a "
                "stream, which has no lasting order; raise data.cache_gb or use a set with random access"
            )
    if not images:
        raise KdzooError(f"{what} has no images")
    return ArrayListing(what, np.stack(images), np.asarray(targets))


def _targets(dataset: Any, reader: Any) -> Targets:
    """Class ids without decoding where the library lists them, else by going through the samples."""
    listed = reader.iter_targets() if hasattr(reader, "iter_targets") else getattr(dataset, "targets", None)
    if listed is not None:
        targets = np.asarray(list(listed))
        if targets.ndim == 1:
            return targets.astype(np.int64)
    return np.asarray([int(dataset[row][1]) for row in range(len(dataset))])


def _files(root: Path | None) -> Iterator[str]:
    for folder, folders, names in os.walk(root) if root else ():
        folders.sort()
        for name in sorted(names):
            size, modified = size_and_time(os.path.join(folder, name))
            yield f"{folder}/{name}\0{size}\0{modified}"
