"""A finished run, students that were never trained, and pictures of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from kdzoo.api import Assembled, Backbone, Output
from kdzoo.backbone import build_backbone
from kdzoo.jobs.export import export_student
from kdzoo.jobs.train import train
from kdzoo.recipe.evaluation import Evaluation
from kdzoo.recipe.roles import RoleConfig
from kdzoo.zoo import Zoo
from tests.cli.conftest import Answer, kdzoo
from tests.jobs.runs import small

__all__ = ["Answer", "kdzoo"]

CLASSES = ("cat", "dog", "eel")


def photograph(draw: np.random.Generator, width: int, height: int, tint: int) -> Image.Image:
    """Stripes and noise, redder, greener or bluer."""
    pixels = draw.normal(90, 30, (height, width, 3))
    pixels[..., tint] += 70
    pixels[:: 3 + tint] += 30
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of photographs; the first has few."""
    root, draw = tmp_path_factory.mktemp("use") / "photos", np.random.default_rng(0)
    for split, most in (("train", 12), ("val", 4), ("test", 8)):
        for tint, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for number in range(most if tint else most // 4):
                width, height = draw.integers(36, 70, 2)
                photograph(draw, width, height, tint).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def run(photos: Path) -> Path:
    """A run on the photographs, three epochs."""
    folder = photos.parent / "run"
    settings = {
        "roles.student.model": "test_resnet", "data.data_dir": str(photos), "data.img_size": 48,
        "data.batch_size": 8, "epochs": 3,
    }  # fmt: skip
    train(small("baseline", **settings), folder, zoo=Zoo())
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of several modes, sizes and formats, one of them turned by its EXIF data."""
    root, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1)
    wide, tall = photograph(draw, 90, 40, 0), photograph(draw, 33, 71, 1)
    made: dict[str, Image.Image] = {
        "wide.png": wide,
        "grey.png": tall.convert("L"),
        "palette.png": wide.convert("P"),
        "cmyk.jpg": tall.convert("CMYK"),
        "tiny.png": wide.resize((5, 3)),
        "deep.png": Image.fromarray((np.asarray(tall.convert("L")).astype(np.uint16) << 8) + 7),
    }
    transparent = wide.convert("RGBA")
    transparent.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 90).astype(np.uint8), (40, 1))))
    made["transparent.png"] = transparent
    for name, image in made.items():
        image.save(root / name)
    turned = wide.getexif()
    turned[0x0112] = 6
    wide.save(root / "turned.jpg", exif=turned)
    return sorted(root.iterdir())


def network(model: str = "test_resnet", *, classes: int = 3, channels: int = 3, **config: object) -> Backbone:
    """An untrained network whose batch normalisation has seen noise."""
    torch.manual_seed(0)
    backbone = build_backbone(
        RoleConfig(model=model, **config), num_classes=classes, channels=channels, img_size=32
    )
    backbone.train()(torch.rand(8, channels, 32, 32))
    return backbone.eval()


class Pair(Assembled):
    """The mean of two networks."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = network(), network("test_efficientnet")

    def forward(
        self, image: Tensor, stages: tuple[int, ...] = (), embedding: bool = False, probes: tuple[()] = ()
    ) -> Output:
        return Output((self.one(image).logits + self.two(image).logits) / 2, (), None)


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """student("plain"): the folder of an exported student that was not trained."""
    root = tmp_path_factory.mktemp("students")
    makers: dict[str, Callable[[], Backbone | Assembled]] = {
        "plain": network,
        "transformer": lambda: network("test_vit", kwargs={"patch_size": 8}),
        "grey": lambda: network(channels=1),
        "headless": lambda: network("test_efficientnet", classes=0),
        "program": Pair,
    }

    def make(kind: str) -> Path:
        folder = root / kind / "student"
        if not folder.exists():
            export_student(
                makers[kind](), folder, classes=CLASSES, card="# A student", image_shape=(3, 32, 32),
                evaluation=Evaluation(crop_pct=0.8, interpolation="bilinear"),
            )  # fmt: skip
        return folder

    return make
