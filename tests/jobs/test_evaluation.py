"""The accuracy that kdzoo reports is timm's on the exported student, prediction for prediction."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from timm.data import create_dataset, create_loader, create_transform, resolve_model_data_config
from torch import Tensor

from kdzoo.backbone import Backbone, build_backbone
from kdzoo.backbone.evaluation import evaluation_of
from kdzoo.data.dataset import DataSet
from kdzoo.data.form import Evaluated
from kdzoo.data.open import open_data
from kdzoo.jobs.export import export_student
from kdzoo.jobs.train import train
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.evaluation import TIMM, WHOLE, Evaluation
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.roles import RoleConfig
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

CPU = torch.device("cpu")

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""timm's data set leaves its files open."""

SIZES = [(500, 375), (375, 500), (256, 256), (130, 400), (64, 64), (301, 299)]
ORIENTATION, SIDEWAYS = 0x0112, 6


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Slopes and waves with some noise: about as detailed as a photograph."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width] / max(width, height)
    waves = [np.sin(random.uniform(5, 40) * (across * a + down * (1 - a)) + 3 * a) for a in random.random(3)]
    pixels = 128 + 90 * np.stack(waves, -1) + random.normal(0, 8, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    for split in ("train", "test"):
        for number, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for item, size in enumerate(SIZES):
                picture(*size, seed=10 * number + item).save(root / split / name / f"{item}.jpg", quality=90)
    exif = Image.Exif()
    exif[ORIENTATION] = SIDEWAYS
    picture(300, 200, seed=30).save(root / "test" / "dog" / "turned.jpg", exif=exif, quality=90)
    return root


def untrained(model: str, side: int) -> Backbone:
    torch.manual_seed(0)
    backbone = build_backbone(
        RoleConfig(model=model), num_classes=7, channels=3, img_size=side,
        label_names=[f"class {number}" for number in range(7)],
    )  # fmt: skip
    backbone(torch.rand(8, 3, side, side))  # BatchNorm statistics other than the initial ones
    return backbone.eval()


def ours(data: DataSet, student: Backbone) -> Tensor:
    """The logits of the test images, in the order of their names."""
    assert torch.cat([batch.index for batch in data.test]).equal(torch.arange(2 * len(SIZES) + 1))
    with torch.no_grad():
        return torch.cat([student(batch.inputs["image"]).logits for batch in data.test])


@pytest.mark.parametrize("cache_gb", [4, 0])
@pytest.mark.parametrize(
    ("model", "side", "expected"),
    [
        ("test_resnet", 64, Evaluation(0.95, "bilinear", "center")),
        ("test_vit", 160, Evaluation(0.95, "bicubic", "center")),
        ("mobilenetv3_small_050", 224, Evaluation(0.875, "bicubic", "center")),
    ],
)
def test_timm_s_loader_gives_the_same_predictions(
    folder: Path, tmp_path: Path, model: str, side: int, expected: Evaluation, cache_gb: float
) -> None:
    assert evaluation_of(model) == expected
    config = DataConfig(data_dir=folder, img_size=side, cache_gb=cache_gb, workers=0)
    data = open_data(config, seed=0, device=CPU, cache_dir=tmp_path, evaluation=evaluation_of(model))
    assert data.evaluation == expected
    student = untrained(model, side)
    own = ours(data, student)
    export_student(
        student, tmp_path / "student", classes=student.label_names or (), card="#", evaluation=expected
    )
    exported = timm.create_model(f"local-dir:{tmp_path / 'student'}", pretrained=True).eval()
    described = resolve_model_data_config(exported)
    assert (described["input_size"], described["crop_pct"]) == ((3, side, side), expected.crop_pct)
    loader = create_loader(
        create_dataset("", str(folder), split="test"), batch_size=4, use_prefetcher=False, num_workers=0,
        device=CPU, pin_memory=False, **described,
    )  # fmt: skip
    with torch.no_grad():
        theirs = torch.cat([exported(images) for images, _ in loader])
    upright = slice(0, 2 * len(SIZES))  # timm does not turn the last one, which we do
    assert theirs[upright].argmax(1).equal(own[upright].argmax(1))
    torch.testing.assert_close(theirs[upright], own[upright], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(theirs[-1], own[-1], atol=1e-3)
    card = (tmp_path / "student" / "README.md").read_text()
    shown = by_the_card(card, tmp_path / "student", folder / "test" / "dog" / "turned.jpg")
    torch.testing.assert_close(shown, own[-1].softmax(0), atol=1e-5, rtol=1e-4)


def test_the_recipe_of_a_run_says_what_suited_its_photographs(folder: Path, tmp_path: Path) -> None:
    zoo = Zoo()
    settings = {
        "data.data_dir": folder, "data.img_size": 64, "data.batch_size": 4, "epochs": 1, "observers": [],
        "roles.student.model": "test_resnet", "data.workers": 0,
    }  # fmt: skip
    layers = [Layer("test", dotted(settings))]
    recipe = resolve(zoo=zoo, registry=load_registry(zoo), method="baseline", layers=layers)
    result = train(recipe, tmp_path / "run", zoo=zoo)
    written = Recipe.model_validate(yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text()))
    assert written.data.augment is not None
    assert (written.data.augment.scale, written.data.augment.color) == ((0.35, 1.0), 0.2)
    assert (written.data.crop_pct, written.data.interpolation) == (0.95, "bilinear")
    again = train(written, tmp_path / "run", zoo=zoo, resume=True)  # it is the same run
    assert again["test/last"] == result["test/last"]
    exported = timm.create_model(f"local-dir:{tmp_path / 'run' / 'student'}", pretrained=True).eval()
    described = resolve_model_data_config(exported)
    assert (described["crop_pct"], described["interpolation"]) == (0.95, "bilinear")


def test_teacher_and_student_may_see_other_sizes(folder: Path, tmp_path: Path) -> None:
    """One view, resized for each network as it is exported."""
    config = DataConfig(data_dir=folder, img_size=96, workers=0)
    data = open_data(config, seed=0, device=CPU, cache_dir=tmp_path, evaluation=TIMM)
    teacher, student = (
        untrained("test_resnet", 96),
        build_backbone(
            RoleConfig(model="test_efficientnet", img_size=64), num_classes=7, channels=3, img_size=96
        ),
    )
    (batch, *_) = data.test
    assert teacher.prepare(batch.inputs["image"]).shape[-1] == 96
    assert student.prepare(batch.inputs["image"]).shape[-1] == 64


def by_the_card(card: str, student: Path, image: Path) -> Tensor:
    """The probabilities that the student's card computes for an image."""
    (block,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    block = block.replace(f"local-dir:{student.name}", f"local-dir:{student}").replace(
        "image.png", str(image)
    )
    names: dict[str, Tensor] = {}
    exec(block, names)
    return names["probabilities"]


def modes() -> dict[str, Image.Image]:
    """A picture in the modes that photographs come in."""
    first = picture(200, 150, seed=1)
    clear = first.convert("RGBA")
    clear.paste((255, 0, 0, 0), (20, 20, 90, 90))
    deep = np.asarray(first.convert("L")).astype(np.uint16) << 8
    return {
        "grey": first.convert("L"),
        "transparent": clear,
        "palette": clear.convert("P"),
        "deep": Image.fromarray(deep),
        "float": Image.fromarray(np.asarray(first.convert("L")).astype(np.float32) / 255),
        "cmyk": first.convert("CMYK"),
    }


@pytest.mark.parametrize("mode", modes())
def test_the_card_treats_every_mode_as_training_did(tmp_path: Path, mode: str) -> None:
    student = untrained("test_resnet", 64)
    export_student(student, tmp_path / "student", classes=student.label_names or (), card="#")
    path = tmp_path / ("a.tif" if mode in ("cmyk", "float") else "a.png")
    modes()[mode].save(path)
    with Image.open(path) as image:
        pixels = Evaluated(64, WHOLE)(image)
    with torch.no_grad():
        own = student(torch.tensor(pixels).permute(2, 0, 1)[None] / 255).logits.softmax(1)[0]
    card = (tmp_path / "student" / "README.md").read_text()
    torch.testing.assert_close(by_the_card(card, tmp_path / "student", path), own, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", [TIMM, Evaluation(0.9, "bilinear"), Evaluation(1.0, "lanczos", "squash")])
def test_what_is_evaluated_is_what_timm_s_transform_shows(how: Evaluation, size: tuple[int, int]) -> None:
    image = picture(*size, seed=2)
    transform = create_transform(
        (3, 96, 96), is_training=False, interpolation=how.interpolation, crop_pct=how.crop_pct,
        crop_mode=how.crop_mode, mean=(0, 0, 0), std=(1, 1, 1),
    )  # fmt: skip
    shown = torch.tensor(Evaluated(96, how)(image)).permute(2, 0, 1) / 255
    assert torch.equal(shown, transform(image))


def test_what_a_model_s_evaluation_is(tmp_path: Path) -> None:
    assert evaluation_of("convnextv2_huge").crop_mode == "squash"
    assert evaluation_of("no such model") == evaluation_of("local-dir:nowhere") == TIMM
    described = {"architecture": "test_resnet", "pretrained_cfg": {"crop_pct": 0.5, "crop_mode": "squash"}}
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert evaluation_of(f"local-dir:{tmp_path}") == Evaluation(0.5, "bicubic", "squash")
