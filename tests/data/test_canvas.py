"""Photographs: kept as whole pictures, cropped by their true size, evaluated in another form, streamed alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kdzoo.api import KdzooError
from kdzoo.counter_rng import draws, key, uniform
from kdzoo.data import crops
from kdzoo.data.augment import Augment
from kdzoo.data.decode import true_size
from kdzoo.data.form import Canvas, Crop, Evaluated, Square
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.evaluation import TIMM

from .conftest import Opener

SIZES = [(400, 300), (300, 400), (256, 256), (500, 120), (90, 90), (64, 200)]
CROPS = {"scale": (0.1, 1.0), "hflip": 0.5, "color": 0}
FINE = {"img_size": 64, "batch_size": 6, "val_fraction": 0, "workers": 0, "augment": CROPS}
ORIENTATION = 0x0112


def place(width: int, height: int, blue: int = 0) -> Image.Image:
    """Red says how far across a pixel lies, green how far down: smooth, so that resampling hardly changes it."""
    across = np.broadcast_to(np.arange(width) / (width - 1), (height, width))
    down = np.broadcast_to(np.arange(height)[:, None] / (height - 1), (height, width))
    pixels = np.stack([255 * across, 255 * down, np.full((height, width), blue)], -1)
    return Image.fromarray(pixels.round().astype(np.uint8))


@pytest.fixture
def photographs(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder of photographs; ``turned`` ones have their width and height swapped by EXIF."""

    def make(turned: bool = False, under: str = "photographs", suffix: str = "jpg", grow: int = 1) -> Path:
        exif = Image.Exif()
        if turned:
            exif[ORIENTATION] = 6
        root = tmp_path / under
        for split in ("train", "test"):
            for number, name in enumerate(("cat", "dog")):
                (root / split / name).mkdir(parents=True)
                for item, (width, height) in enumerate(SIZES):
                    image = place(grow * width, grow * height, 100 * number)
                    if turned:
                        image = image.transpose(Image.Transpose.ROTATE_90)
                    image.save(root / split / name / f"{item}.{suffix}", quality=95, exif=exif)
        return root

    return make


def test_views_are_crops_of_the_true_size(photographs: Callable[..., Path], open_: Opener) -> None:
    """The view's corners show where the box lay on the picture, whatever its aspect ratio."""
    for turned in (False, True):
        data = open_(photographs(turned, f"turned {turned}"), **FINE)
        for epoch in (0, 3):
            data.train.set_epoch(epoch)
            for batch in data.train:
                rows = batch.index
                sizes = torch.tensor(SIZES)[rows % len(SIZES)]
                seeded = key("augment", 0, epoch)
                found = crops.boxes(
                    draws(seeded, rows, range(12, 12 + crops.DRAWS)), sizes, (0.1, 1.0), (3 / 4, 4 / 3)
                )
                mirrored = uniform(draws(seeded, rows, range(3))[2]) < 0.5
                views = batch.inputs["image"]
                views = torch.where(mirrored[:, None, None, None], views.flip(3), views)
                left, top, wide, tall = (found / sizes.repeat(1, 2)).unbind(1)
                middle = views[:, :, 31:33, 31:33].mean((2, 3))
                # half a pixel of the canvas at each end of the box, and JPEG's noise
                assert (middle[:, 0] - (left + wide / 2)).abs().max() < 0.5 / 74 + 0.012
                assert (middle[:, 1] - (top + tall / 2)).abs().max() < 0.5 / 74 + 0.012
                across = (views[:, 0, :, -3] - views[:, 0, :, 2]).mean(1)
                assert (across - wide * 59 / 64).abs().max() < 1 / 74 + 0.015


def test_a_streamed_view_is_that_of_the_canvas_up_to_resampling(
    photographs: Callable[..., Path], open_: Opener
) -> None:
    """They differ by at most half a pixel of the canvas at each end of a box: 0.7 % of a slope of 255, and noise."""
    folder = photographs(grow=2)  # large enough to be decoded at half their size
    decoded, streamed = open_(folder, **FINE), open_(folder, **FINE, cache_gb=0)
    assert streamed.streams
    for epoch in (0, 2):
        decoded.train.set_epoch(epoch)
        streamed.train.set_epoch(epoch)
        for batch, same in zip(decoded.train, streamed.train, strict=True):
            assert torch.equal(batch.index, same.index)
            assert torch.equal(batch.target, same.target)
            difference = (batch.inputs["image"] - same.inputs["image"]).abs()
            assert difference.mean() < 0.01
            assert difference[:, :, 2:-2, 2:-2].max() < 0.05
    for batch, same in zip(decoded.test, streamed.test, strict=True):
        assert torch.equal(batch.inputs["image"], same.inputs["image"])


def test_repeated_views_of_a_streamed_sample_differ_as_those_of_the_canvas(
    photographs: Callable[..., Path], open_: Opener
) -> None:
    folder, settings = photographs(), {**FINE, "augment": {**CROPS, "repeats": 3}}
    decoded, streamed = open_(folder, **settings), open_(folder, **settings, cache_gb=0)
    for batch, same in zip(decoded.train, streamed.train, strict=True):
        assert torch.equal(batch.index, same.index)
        assert len(batch.index.unique()) == 2
        assert (batch.inputs["image"] - same.inputs["image"]).abs().mean() < 0.02
        assert (same.inputs["image"][0] - same.inputs["image"][1]).abs().mean() > 0.05


def test_a_streamed_view_is_a_function_of_its_own_row_and_epoch() -> None:
    augment = Augment(AugmentConfig(scale=(0.1, 1.0), hflip=0.5), 0, 32)
    rows, sizes = torch.tensor([3, 4, 5]), torch.tensor([[200, 120], [80, 90], [50, 300]])
    together = augment.crops(rows, sizes, 1)
    alone = [augment.crops(rows[at : at + 1], sizes[at : at + 1], 1)[0] for at in range(3)]
    assert together == alone
    assert not {crop.box for crop in together} & {crop.box for crop in augment.crops(rows, sizes, 2)}


def test_large_crops_are_decoded_at_a_reduced_scale(tmp_path: Path) -> None:
    place(1600, 1200).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        shown = Crop(64, image.size, (0, 0, *image.size), False, "bicubic")(image)
        assert image.size == (200, 150)
    assert abs(shown[32, :, 0].astype(int) - np.linspace(2, 253, 64)).max() < 4


def test_sizes_are_kept_with_the_pixels(
    photographs: Callable[..., Path], open_: Opener, tmp_path: Path
) -> None:
    folder = photographs()
    first = open_(folder, **FINE)
    stored = sorted(path.name for path in (tmp_path / "cache").glob("*.npy"))
    assert [name.split("-")[1] for name in stored] == ["64px", "74px"]  # test, and the canvas
    batch, same = next(iter(first.train)), next(iter(open_(folder, **FINE).train))
    assert torch.equal(batch.inputs["image"], same.inputs["image"])
    assert sorted(path.name for path in (tmp_path / "cache").glob("*.npy")) == stored


def test_other_forms_are_other_sets(photographs: Callable[..., Path], open_: Opener, tmp_path: Path) -> None:
    folder = photographs()
    opened = [
        open_(folder, **FINE),
        open_(folder, **FINE, canvas=1.5),
        open_(folder, **{**FINE, "augment": {"crop": 4}}),
    ]
    assert len({data.content_hash for data in opened}) == 3
    assert len(list((tmp_path / "cache").glob("train*.npy"))) == 3
    evaluated = [open_(folder, **FINE, crop_pct=crop_pct) for crop_pct in (0.5, 1.0)]
    assert {data.content_hash for data in evaluated} == {opened[0].content_hash}  # a teacher serves them all
    one, other = (next(iter(data.test)).inputs["image"] for data in evaluated)
    assert (one - other).abs().max() > 0.1


@pytest.mark.parametrize("cache_gb", [4, 3e-4, 0])  # everything, what the splits need, nothing
def test_validation_cut_from_train_is_evaluated_as_test_is(
    photographs: Callable[..., Path], open_: Opener, cache_gb: float
) -> None:
    folder = photographs()
    subset = {"train_per_class": 2} if cache_gb == 3e-4 else {}
    data = open_(folder, **{**FINE, "val_fraction": 0.4, "cache_gb": cache_gb}, **subset)
    assert data.val is not None
    assert data.streams == (cache_gb == 0)
    assert not torch.isin(data.val.split.index, data.train.split.index).any()
    for batch in data.val:
        for row, image in zip(batch.index.tolist(), batch.inputs["image"], strict=True):
            with Image.open(folder / "train" / data.names[row]) as file:
                assert torch.equal(torch.tensor(Evaluated(64, TIMM)(file)).permute(2, 0, 1) / 255, image)


def test_a_bad_image_is_left_out_of_both_forms(photographs: Callable[..., Path], open_: Opener) -> None:
    folder = photographs()
    for name in ("cat/0.jpg", "dog/1.jpg", "dog/5.jpg"):
        (folder / "train" / name).write_bytes(b"no image")
    data = open_(folder, **{**FINE, "val_fraction": 0.4}, bad_images=0.5)
    assert data.val is not None
    seen = torch.cat([data.train.split.index, data.val.split.index]).sort().values
    assert seen.tolist() == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    assert len(data.skipped) == 3


def test_partners_follow_the_geometry(photographs: Callable[..., Path], open_: Opener) -> None:
    """A partner of another size is cropped at the same part of it."""
    folder, partners = photographs(), photographs(under="partners", suffix="png", grow=2)
    data = open_(folder, paired={"thermal": partners}, **FINE)
    for batch in data.train:
        difference = (batch.inputs["image"] - batch.inputs["thermal"]).abs()
        assert difference[:, :2].max() < 0.03


def test_without_variation_a_picture_is_its_centre(photographs: Callable[..., Path], open_: Opener) -> None:
    data = open_(photographs(), **FINE)
    rows = torch.tensor([0, 1, 2])
    shown = data.fetch(rows, view=None).inputs["image"]
    assert shown.shape == (3, 3, 64, 64)
    for image, (width, height) in zip(shown, SIZES, strict=False):
        side = min(width, height)
        assert abs(float(image[0, 32, -1] - image[0, 32, 0]) - side / width) < 0.04
        assert abs(float(image[1, -1, 32] - image[1, 0, 32]) - side / height) < 0.04
        assert abs(float(image[:2, 32, 32].mean()) - 0.5) < 0.02


def test_photographs_have_crops_flips_and_mild_colour_by_default(
    photographs: Callable[..., Path], make_folder: Callable[..., Path], open_: Opener
) -> None:
    folder = photographs()
    usual = open_(folder, img_size=64).augment
    assert (usual.scale, usual.ratio, usual.crop, usual.hflip, usual.color) == (
        (0.35, 1.0), (3 / 4, 4 / 3), 0, 0.5, 0.2,
    )  # fmt: skip
    assert open_(folder, img_size=64, augment={"color": 0.4}).augment == usual.model_copy(
        update={"color": 0.4}
    )
    shifted = open_(folder, img_size=64, augment={"crop": 8}).augment
    assert (shifted.crop, shifted.scale, shifted.hflip) == (8, None, 0.5)
    tiny = open_(make_folder(size=32, train=5, test=2), img_size=64)
    assert (tiny.augment.scale, tiny.augment.crop, tiny.evaluation) == (None, 8, None)


def test_tiny_images_are_evaluated_otherwise_only_on_request(
    make_folder: Callable[..., Path], open_: Opener
) -> None:
    folder = make_folder(size=32, train=5, test=2)
    (usual,), (cut,) = open_(folder).test, open_(folder, crop_pct=0.5, interpolation="bilinear").test
    assert usual.inputs["image"].shape == cut.inputs["image"].shape
    with pytest.raises(KdzooError, match=r"data\.crop_pct: the images of 'digits' come decoded"):
        open_(crop_pct=0.9)


def test_true_size_is_that_of_the_upright_picture(tmp_path: Path) -> None:
    for orientation, expected in ((1, (40, 20)), (3, (40, 20)), (6, (20, 40)), (8, (20, 40))):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        for suffix in ("jpg", "png"):
            Image.new("RGB", (40, 20)).save(tmp_path / f"a.{suffix}", exif=exif)
            with Image.open(tmp_path / f"a.{suffix}") as image:
                assert true_size(image) == expected
                assert Canvas(8)(image).shape == Square(8)(image).shape == (8, 8, 3)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_all_at_once_is_one_by_one(mode: str) -> None:
    """What a graphics processor computes by matrices is what the CPU computes image by image, up to rounding."""
    store = torch.randint(0, 256, (4, 80, 80, 3), dtype=torch.uint8)
    found = torch.tensor([[0, 0, 80, 80], [10, 20, 30, 40], [79, 79, 1, 1], [3, 5, 64, 17]])
    at, mirrored = torch.tensor([2, 0, 3, 1]), torch.tensor([False, True, False, True])
    one = crops.resample(store, at, found, 48, mirrored, mode)
    assert (crops.together(store, at, found, 48, mirrored, mode).int() - one.int()).abs().max() <= 2
