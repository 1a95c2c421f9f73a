"""Synthesised images on disk, as an image folder, and as the data of a phase."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kdzoo.api import Batch, KdzooError, Noise, Run
from kdzoo_data_free.functional.inversion import cropped

_HELP = """# Images made from a teacher

`train/` holds one folder of images for each class, the class that each image was optimised for. None of them is
real. A run on them needs real images for its evaluation, as `test/` (or `val/`) next to `train/`:

    ln -s DIR/test {folder}/test
    kdzoo distill --method rkd --teacher MODEL --student MODEL --data-dir {folder} \\
        --set roles.teacher.checkpoint=WEIGHTS

DIR is a folder of real images with the same classes. Without the last line the teacher is also trained on
these images.
"""


class Album:
    """A folder ``train/<class>/<number>.png``; image n is of class n modulo the number of classes.

    Writing the same images again gives the same files, so that an interrupted and resumed run leaves the same
    folder as an uninterrupted one.

    Args:
        folder: the parent of ``train/``.
        classes: names, in the order of their ids.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder = folder
        self._names = [_as_folder(name) for name in classes]
        if len(set(self._names)) < len(self._names):
            raise KdzooError(
                "images cannot be stored by class: two class names differ in '/' or leading dots only"
            )

    def begin(self) -> None:
        """Remove the files of an earlier attempt, and write the folder's README.

        Raises:
            KdzooError: it cannot be written.
        """
        try:
            shutil.rmtree(self.folder / "train", ignore_errors=True)
            for name in self._names:
                (self.folder / "train" / name).mkdir(parents=True)
            (self.folder / "README.md").write_text(_HELP.format(folder=self.folder), encoding="utf-8")
        except OSError as error:
            raise KdzooError(f"{self.folder}: cannot keep images: {error.strerror or error}") from None

    def targets(self, first: int, count: int) -> Tensor:
        """(count,) int64 on the CPU: the classes of the images ``first``, ``first`` + 1, ..."""
        return torch.arange(first, first + count, device="cpu") % len(self._names)

    def write(self, pixels: Tensor, first: int) -> None:
        """Write images (B, C, H, W) uint8, of one or three channels, with numbers from ``first`` on.

        Raises:
            KdzooError: a file cannot be written.
        """
        rows = pixels.permute(0, 2, 3, 1).cpu().numpy()
        for number, row in enumerate(rows, first):
            path = self._path(number)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(row[..., 0] if row.shape[-1] == 1 else row).save(path)
            except OSError as error:
                raise KdzooError(f"{path}: cannot write the image: {error.strerror or error}") from None

    def read(self, count: int, channels: int) -> Tensor:
        """(count, channels, H, W) uint8: the first ``count`` images.

        Raises:
            KdzooError: one is missing or cannot be read.
        """
        images = []
        for number in range(count):
            path = self._path(number)
            try:
                with Image.open(path) as image:
                    images.append(np.asarray(image.convert("L" if channels == 1 else "RGB")))
            except OSError as error:
                raise KdzooError(
                    f"{path}: cannot read an image that this run made: {error.strerror or error}; start the run "
                    "anew in another --output"
                ) from None
        pixels = torch.from_numpy(np.stack(images))
        return (pixels[:, None] if channels == 1 else pixels.permute(0, 3, 1, 2)).contiguous()

    def _path(self, number: int) -> Path:
        return self.folder / "train" / self._names[number % len(self._names)] / f"{number:06d}.png"


class Prints:
    """Batches drawn from images, randomly shifted and mirrored, as a phase's data.

    Draws are with replacement, and each batch is a pure function of the run's seed, the epoch and the step.

    Args:
        run: the run.
        images: (N, C, H, W) uint8.
        target: (N,) int64.
        steps: batches per epoch.
        shift: largest shift in pixels, with black borders.
        flip: probability of mirroring.
        name: streams with other names draw other random numbers.
    """

    def __init__(
        self, run: Run, images: Tensor, target: Tensor, *, steps: int, shift: int, flip: float, name: str
    ) -> None:
        self._draws = Noise(run, steps, shape=(4,), name=name)
        self._images, self._target = images.to(run.device), target.to(run.device)
        self._shift, self._flip = shift, flip
        self._format = torch.channels_last if run.recipe.channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return len(self._draws)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch of the next iteration, and how many of its batches are skipped."""
        self._draws.set_epoch(epoch, start)

    def __iter__(self) -> Iterator[Batch]:
        for drawn in self._draws:
            which, down, right, mirror = drawn.inputs["image"].unbind(dim=1)
            row = below(which, len(self._images))
            images = self._images.index_select(0, row).float() / 255
            images = cropped(images, move(down, self._shift), move(right, self._shift), mirror < self._flip)
            target = self._target.index_select(0, row)
            yield Batch(drawn.index, {"image": images.contiguous(memory_format=self._format)}, target)


def below(uniform: Tensor, bound: int) -> Tensor:
    """Uniform numbers in [0, 1) as uniform int64 in [0, bound)."""
    return (uniform * bound).long().clamp(max=bound - 1)


def move(uniform: Tensor, most: int) -> Tensor:
    """Uniform numbers in [0, 1) as uniform int64 in [-most, most]."""
    return below(uniform, 2 * most + 1) - most


def _as_folder(name: str) -> str:
    """The folder name of a class."""
    return name.replace("/", "_").lstrip(".") or "_"
