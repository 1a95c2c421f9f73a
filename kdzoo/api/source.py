"""Data sets of plugins: the classes, and the samples of each split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SplitName: TypeAlias = Literal["train", "val", "test"]

Picture: TypeAlias = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""An image: its file, the bytes of its file, a Pillow image, or pixels (H, W) or (H, W, C) with C = 1 or 3."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of one split, in an order that never changes.

    Attributes:
        images: a sequence that loads each image on access, from several threads at once; or all of
            them as one array (n, H, W) or (n, H, W, C) uint8 with C = 1 or 3. Files and bytes are cheapest:
            others are read once whenever the data set is opened, to detect changes.
        labels: class ids, one for each image.
        names: a name for each sample, the same on every machine and all different. Default: a file's path below
            ``data_dir``, else the sample's number.
    """

    images: Sequence[Picture] | NDArray[np.uint8]
    labels: Sequence[int]
    names: Sequence[str] | None = None

    @classmethod
    def of(cls, pairs: Sequence[tuple[Picture, int]], names: Sequence[str] | None = None) -> Samples:
        """The samples of a sequence of (image, label), such as a ``torch.utils.data.Dataset``.

        Every pair is loaded once, for its label.
        """
        return cls(_Firsts(pairs), [int(pairs[row][1]) for row in range(len(pairs))], names)


class _Firsts(Sequence[Picture]):
    """The first of each pair, loaded on access."""

    def __init__(self, pairs: Sequence[tuple[Picture, int]]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, row: int) -> Picture:  # type: ignore[override]  # nobody asks for slices
        return self._pairs[row][0]


class DataSource(ABC):
    """A data set that a plugin brings; ``data.dataset`` names it.

    The keyword arguments of ``__init__`` are its options: recipes set them as ``data.options.NAME``, typed and
    checked as hyper-parameters are. An argument called ``data_dir`` gets the recipe's ``data.data_dir``.
    """

    name: ClassVar[str]

    mirror: ClassVar[bool] = True
    """Whether a mirrored image still shows its class. If not, the default augmentation does not flip."""

    classes: Sequence[str]
    """The class names, in the order of their ids. To be set in ``__init__``."""

    @abstractmethod
    def split(self, name: SplitName) -> Samples | None:
        """The samples of a split; None if there is no such split.

        There must be ``train``, and ``test`` or ``val``. Without ``test``, the validation split is the test split.
        Without ``val``, or if it is the test split, a validation split is taken from train. Not called for
        ``train`` if the recipe withholds it.
        """
