"""Tiny folders of real images. Each image has one colour, which says where it belongs."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from PIL import Image

from kdzoo.api import Batch
from kdzoo.data.dataset import DataSet
from kdzoo.data.open import open_data
from kdzoo.recipe.data import DataConfig

CPU = torch.device("cpu")
CLASSES = ("cat", "dog", "owl")
SPLITS = {"train": 40, "val": 80, "validation": 80, "test": 120}
"""Each split's red; green is the class, blue the number within the class."""

Opener = Callable[..., DataSet]
Maker = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> Maker:
    """Write an image folder: split -> images per class; PNG, so that colours stay as they are."""

    def make(size: int = 8, classes: Iterable[str] = CLASSES, suffix: str = "png", **counts: int) -> Path:
        for split, count in counts.items():
            for number, name in enumerate(classes):
                place = tmp_path / "images" / split / name
                place.mkdir(parents=True, exist_ok=True)
                for item in range(count):
                    colour = (SPLITS[split], 60 * number, item)
                    Image.new("RGB", (size, size), colour).save(place / f"{item:03}.{suffix}")
        return tmp_path / "images"

    return make


@pytest.fixture
def open_(tmp_path: Path) -> Opener:
    """``open_data`` on the CPU with a cache of the test's own; keywords of DataConfig and of open_data."""

    def opened(data_dir: Path | None = None, **given: object) -> DataSet:
        own = "seed", "rank", "world", "progress", "warn"
        keywords = {name: given.pop(name) for name in own if name in given}
        if data_dir is not None:
            given["data_dir"] = data_dir
        config = DataConfig.model_validate({"batch_size": 8, **given})
        everything = {"seed": 0, **keywords}
        return open_data(config, device=CPU, cache_dir=tmp_path / "cache", **everything)  # type: ignore[arg-type]

    return opened


def colours(batches: Iterable[Batch]) -> list[tuple[int, int, int]]:
    """(split, class, number) of every image, in order, read off its colour."""
    return [
        tuple(int(value) for value in (image[:, 4, 4] * 255).round())  # type: ignore[misc]
        for batch in batches
        for image in batch.inputs["image"]
    ]


@pytest.fixture(name="colours")
def _colours() -> Callable[[Iterable[Batch]], list[tuple[int, int, int]]]:
    return colours
