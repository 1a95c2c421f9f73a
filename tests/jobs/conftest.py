from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes, four images each for training, two for testing."""
    for split, count in (("train", 4), ("test", 2)):
        for number, name in enumerate(("cat", "dog")):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for index in range(count):
                image = Image.new("RGB", (32, 32), (40 * index, 100 * number, 60))
                image.save(tmp_path / "images" / split / name / f"{index}.png")
    return tmp_path / "images"
