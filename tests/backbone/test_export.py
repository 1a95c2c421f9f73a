"""An exported student answers through timm alone, with timm's own preprocessing, as it did here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from kdzoo.backbone import Backbone, build_backbone
from kdzoo.engine.weights import load_weights, weights_hash
from kdzoo.errors import KdzooError
from kdzoo.jobs.export import export_student
from kdzoo.recipe.roles import RoleConfig

CLASSES = ("cat", "dog", "eel")


def _build(model: str = "test_resnet", channels: int = 3, **config: Any) -> Backbone:
    torch.manual_seed(0)
    role = RoleConfig(model=model, **config)
    backbone = build_backbone(role, num_classes=3, channels=channels, img_size=32, label_names=CLASSES)
    backbone(torch.rand(8, channels, 32, 32))  # BatchNorm statistics other than the initial ones
    return backbone.to(memory_format=torch.channels_last).eval()


def _pictures(folder: Path, mode: str, side: int = 32) -> list[Path]:
    """PNG files with edges, slopes and noise."""
    random = np.random.default_rng(0)
    paths = []
    for number in range(4):
        slope = np.add.outer(np.arange(side), np.arange(side)) * 3 % 256
        pixels = np.stack([slope, slope.T[::-1], np.full_like(slope, 40 * number)], -1)
        pixels[4 + number : 20, 6:18] = random.integers(0, 256, 3)
        paths.append(folder / f"{number}.png")
        Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(paths[-1])
    return paths


@pytest.mark.parametrize(
    ("model", "channels", "config", "tolerance"),
    [
        ("test_resnet", 3, {}, 1e-5),
        ("test_resnet", 3, {"img_size": 64}, 0.02),  # resized: Pillow rounds to 8 bits
        ("test_resnet", 1, {}, 1e-5),
        ("test_efficientnet", 3, {"drop_path": 0.2}, 1e-5),
        ("test_vit", 3, {"kwargs": {"patch_size": 8}}, 1e-5),
        ("test_vit3", 3, {}, 0.02),  # its own 160 pixels
        ("test_vit3", 3, {"img_size": 32}, 1e-5),
        ("mobilenetv3_small_050", 3, {}, 1e-5),  # another mean and std
        ("coat_lite_tiny", 3, {"img_size": 32}, 1e-5),  # modules that share their parameters
    ],
)
def test_timm_alone_gives_the_same_logits(
    tmp_path: Path, model: str, channels: int, config: dict[str, Any], tolerance: float
) -> None:
    backbone = _build(model, channels, **config)
    export_student(backbone, tmp_path / "student", classes=CLASSES, card="# A student")
    mode = "L" if channels == 1 else "RGB"
    pictures = [Image.open(path).convert(mode) for path in _pictures(tmp_path, mode)]
    pixels = [np.asarray(picture).reshape(32, 32, channels) for picture in pictures]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255

    loaded = timm.create_model(f"local-dir:{tmp_path / 'student'}", pretrained=True).eval()
    data = timm.data.resolve_model_data_config(loaded)
    transform = timm.data.create_transform(**data)
    with torch.inference_mode():
        expected = backbone(images).logits
        found = loaded(torch.stack([transform(picture) for picture in pictures]))
    spread = float(expected.std(0).max())
    assert spread > 0
    torch.testing.assert_close(found, expected, atol=tolerance * max(1.0, spread), rtol=tolerance)
    assert (found.argmax(1) == expected.argmax(1)).all()
    assert data["input_size"] == (channels, *backbone.input_size)
    assert (data["crop_pct"], data["interpolation"]) == (1.0, "bicubic")
    assert tuple(loaded.pretrained_cfg["label_names"]) == CLASSES


def test_without_pretrained_the_weights_are_random(tmp_path: Path) -> None:
    backbone = _build()
    export_student(backbone, tmp_path / "student", classes=CLASSES, card="")
    name = f"local-dir:{tmp_path / 'student'}"
    assert weights_hash(timm.create_model(name)) != weights_hash(backbone.model)
    assert weights_hash(timm.create_model(name, pretrained=True)) == weights_hash(backbone.model)


def test_the_readme_shows_how_it_is_loaded(tmp_path: Path) -> None:
    """Its code runs as it stands, in the folder that holds the student, without kdzoo."""
    backbone = _build()
    export_student(backbone, tmp_path / "student", classes=CLASSES, card="# A student\n\n98 %")
    readme = (tmp_path / "student" / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("---\nlibrary_name: timm\n")
    assert "# A student\n\n98 %" in readme
    [picture, *_] = _pictures(tmp_path, "RGB")
    shutil.copy(picture, tmp_path / "image.png")
    [code] = re.findall(r"```python\n(.*?)```", readme, re.S)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    image = torch.tensor(np.asarray(Image.open(picture))).permute(2, 0, 1)[None] / 255
    assert run.stdout.strip() == CLASSES[int(backbone(image).logits.argmax())]


@pytest.mark.parametrize("as_model", [True, False])
def test_an_exported_folder_teaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_model: bool) -> None:
    student = _build("test_vit3", img_size=48, kwargs={"patch_size": 8})
    monkeypatch.chdir(tmp_path)
    export_student(student, Path("student"), classes=CLASSES, card="")
    known = {"num_classes": 3, "channels": 3, "img_size": 32, "label_names": CLASSES}
    if as_model:
        teacher = build_backbone(RoleConfig(model="local-dir:student", pretrained=True), **known)
    else:
        role = RoleConfig(model="test_vit3", img_size=48, kwargs={"patch_size": 8})
        teacher = build_backbone(role, **known)
        load_weights(teacher, Path("student"))
    assert teacher.name == "test_vit3"
    images = torch.rand(4, 3, 32, 32)
    teacher.to(
        memory_format=torch.channels_last
    )  # the student's; in another one the order of sums is another
    assert torch.equal(teacher.eval()(images).logits, student(images).logits)


def test_a_folder_keeps_the_size_that_it_was_trained_at(tmp_path: Path) -> None:
    export_student(_build(img_size=48), tmp_path / "student", classes=CLASSES, card="")
    name = f"local-dir:{tmp_path / 'student'}"
    kept = build_backbone(RoleConfig(model=name), num_classes=3, channels=3, img_size=32)
    other = build_backbone(RoleConfig(model=name, img_size=64), num_classes=3, channels=3, img_size=32)
    assert (kept.input_size, other.input_size) == ((48, 48), (64, 64))


def test_classes_in_another_order_are_refused(tmp_path: Path) -> None:
    export_student(_build(), tmp_path / "student", classes=CLASSES, card="")
    role = RoleConfig(model=f"local-dir:{tmp_path / 'student'}", pretrained=True)
    with pytest.raises(KdzooError, match=r"classes in another order \(cat, dog, eel"):
        build_backbone(role, num_classes=3, channels=3, img_size=32, label_names=("dog", "cat", "eel"))


def test_an_existing_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "student"
    export_student(_build("test_vit"), folder, classes=CLASSES, card="old")
    (folder / "stray.txt").write_text("")
    export_student(_build(), folder, classes=CLASSES, card="new")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert json.loads((folder / "config.json").read_text())["architecture"] == "test_resnet"
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_a_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "student"
    export_student(_build("test_vit"), folder, classes=CLASSES, card="old")

    def full(new: Path) -> str:
        """A full disk cannot be had cheaply."""
        assert new.is_dir()
        raise OSError(28, "No space left on device")

    with pytest.raises(KdzooError, match=r"student: cannot write the student: No space left on device"):
        export_student(_build(), folder, classes=CLASSES, card="new", extend=full)
    assert "old" in (folder / "README.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(KdzooError, match="cannot write the student"):
        export_student(_build(), tmp_path / "run" / "student", classes=CLASSES, card="")


def test_the_network_is_left_as_it_was(tmp_path: Path) -> None:
    backbone = _build()
    before = weights_hash(backbone)
    export_student(backbone, tmp_path / "student", classes=CLASSES, card="")
    assert weights_hash(backbone) == before
    assert not backbone.training
    weight = backbone.model.conv1[0].weight
    assert backbone.state_dict()["model.conv1.0.weight"].data_ptr() == weight.data_ptr()
    assert weight.is_contiguous(memory_format=torch.channels_last)
