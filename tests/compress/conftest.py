"""Folders of made pictures, and the command line without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Answer, kdzoo
from tests.use.conftest import CLASSES, photograph

__all__ = ["Answer", "kdzoo"]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded, whatever answers."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """made("name", {"train": 8, "test": 4}) -> class folders with so many pictures of each of three classes."""

    def make(name: str, splits: dict[str, int], *, flat: bool = False, side: int = 32) -> Path:
        root, draw = tmp_path_factory.mktemp("compress") / name, np.random.default_rng(0)
        for split, number in splits.items():
            for tint, label in enumerate(CLASSES):
                place = root / split / ("" if flat else label)
                place.mkdir(parents=True, exist_ok=True)
                for count in range(number):
                    photograph(draw, side, side, tint).save(place / f"{tint}-{count}.png")
        return root

    return make


@pytest.fixture(scope="session")
def labelled(made: Callable[..., Path]) -> Path:
    return made("labelled", {"train": 30, "test": 12})


@pytest.fixture(scope="session")
def flat(made: Callable[..., Path]) -> Path:
    return made("flat", {"": 40}, flat=True)
