"""Operations on 8-bit pixels against timm's (on Pillow images) and torchvision's, on a photograph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import auto_augment as timm
from torchvision.transforms.v2 import functional as torchvision

from kdzoo.data import eight_bit, warp

PICTURE = torch.from_numpy(load_sample_image("china.jpg")[100:324, 200:424].copy()).permute(2, 0, 1)
FLAT = torch.full_like(PICTURE, 77)
DIM = PICTURE // 4 + 30


def ours(operation, picture, number):
    return operation(picture[None], torch.tensor([number], dtype=torch.float64))[0]


def pillow(picture):
    return Image.fromarray(picture.permute(1, 2, 0).numpy())


def pixels(image):
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


def distance(one, other):
    return (one.int() - other.int()).abs()


ENHANCED = (0.1, 0.55, 1.0, 1.4, 1.99)
AGAINST = {
    "auto_contrast": (timm.auto_contrast, torchvision.autocontrast, [None]),
    "equalize": (timm.equalize, torchvision.equalize, [None]),
    "invert": (timm.invert, torchvision.invert, [None]),
    "posterize": (timm.posterize, torchvision.posterize, [1, 2, 4, 7, 8]),
    "solarize": (timm.solarize, torchvision.solarize, [0, 1, 100, 128, 255]),
    "solarize_add": (timm.solarize_add, None, [0, 33, 110]),
    "color": (timm.color, torchvision.adjust_saturation, ENHANCED),
    "contrast": (timm.contrast, torchvision.adjust_contrast, ENHANCED),
    "brightness": (timm.brightness, torchvision.adjust_brightness, ENHANCED),
    "sharpness": (timm.sharpness, torchvision.adjust_sharpness, ENHANCED),
}


@pytest.mark.parametrize("picture", [PICTURE, FLAT, DIM], ids=["photograph", "flat", "dim"])
@pytest.mark.parametrize("name", AGAINST)
def test_an_operation_is_timm_s_and_torchvision_s(name, picture):
    theirs, other, numbers = AGAINST[name]
    for number in numbers:
        found = ours(getattr(eight_bit, name), picture, 0 if number is None else number)
        given = () if number is None else (number,)
        assert found.dtype == torch.uint8
        assert distance(found, pixels(theirs(pillow(picture), *given))).max() <= 1
        if other is not None:
            assert distance(found, other(picture, *given)).max() <= 2


def test_a_threshold_of_256_inverts_nothing_and_one_between_two_values_the_upper():
    assert torch.equal(ours(eight_bit.solarize, PICTURE, 256), PICTURE)
    assert torch.equal(ours(eight_bit.solarize, PICTURE, 99.4), torchvision.solarize(PICTURE, 99.4))


def test_no_bits_are_black():
    assert not ours(eight_bit.posterize, PICTURE, 0).any()


def test_grey_is_pillow_s_luma():
    grey = torch.from_numpy(np.asarray(pillow(PICTURE).convert("L")).copy())
    assert torch.equal(ours(eight_bit.grey, PICTURE, 0), grey.expand(3, -1, -1))


WARPS = {
    "rotate": (timm.rotate, [-135.0, -30.0, -7.3, 0.0, 11.0, 90.0]),
    "shear_x": (timm.shear_x, [-0.99, -0.3, 0.0, 0.11, 0.3]),
    "shear_y": (timm.shear_y, [-0.99, -0.3, 0.0, 0.11, 0.3]),
    "translate_x": (timm.translate_x_abs, [-100.8, -3.0, 0.0, 12.4, 32.0]),
    "translate_y": (timm.translate_y_abs, [-100.8, -3.0, 0.0, 12.4, 32.0]),
}


def warped(name, number, fill, mode, picture=PICTURE):
    return getattr(warp, name)(picture[None], torch.tensor([number], dtype=torch.float64), fill, mode)[0]


@pytest.mark.parametrize("name", WARPS)
def test_a_geometric_operation_is_timm_s_but_at_the_image_s_border(name):
    """Pillow keeps the last half pixel of the image whole; here it is mixed with what lies outside."""
    theirs, numbers = WARPS[name]
    for number in numbers:
        found = warped(name, number, 128, "bilinear")
        kwargs = {"fillcolor": (128, 128, 128), "resample": Image.Resampling.BILINEAR}
        expected = pixels(theirs(pillow(PICTURE), number, **kwargs))
        apart = distance(found, expected).amax(0) > 2
        inside = warped(name, number, 0, "bilinear", torch.full_like(PICTURE, 255)).amin(0) == 255
        outside = warped(name, number, 0, "bilinear", torch.full_like(PICTURE, 255)).amax(0) == 0
        assert not (apart & (inside | outside)).any()
        assert (~inside & ~outside).sum() <= 4 * 224 * 2


@pytest.mark.parametrize("name", WARPS)
def test_a_geometric_operation_sampled_bicubically_is_timm_s(name):
    """At the edge between inside and outside, some pixels may lie on the other side."""
    theirs, numbers = WARPS[name]
    for number in numbers:
        kwargs = {"fillcolor": (128, 128, 128), "resample": Image.Resampling.BICUBIC}
        apart = distance(
            warped(name, number, 128, "bicubic"), pixels(theirs(pillow(PICTURE), number, **kwargs))
        )
        assert (apart.amax(0) > 2).sum() <= 2 * 224 * (name == "rotate") / 100, number


def by_torchvision(name, number, mode):
    how = {"interpolation": torchvision.InterpolationMode(mode)}
    if name == "rotate":
        return torchvision.rotate(PICTURE, number, **how)
    shear, moved = [0.0, 0.0], [0, 0]
    axis = name.endswith("y")
    if name.startswith("shear"):
        shear[axis] = float(torch.rad2deg(torch.atan(torch.tensor(number, dtype=torch.float64))))
    else:
        moved[axis] = -int(number)
    return torchvision.affine(PICTURE, 0.0, moved, 1.0, shear, center=[0, 0], **how)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("name", WARPS)
def test_a_geometric_operation_is_torchvision_s(name, mode):
    """Where a sampled place lies between two pixels, nearest may take either: so it does in few pixels."""
    for number in WARPS[name][1]:
        number = int(number) if name.startswith("translate") else number
        apart = distance(warped(name, number, 0, mode), by_torchvision(name, number, mode)).amax(0) > 2
        assert apart.float().mean() <= (0.002 if mode == "nearest" else 0), number


@pytest.mark.parametrize("sampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize("name", [*AGAINST, "grey", *WARPS])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_an_image_becomes_depends_on_no_other(name, channels, sampling):
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(0, 256, (7, channels, 19, 23), dtype=torch.uint8, generator=generator)
    numbers = torch.tensor([0.1, 0.5, 1.0, 1.5, 3.0, 7.0, 0.7], dtype=torch.float64)
    how, more = (getattr(warp, name), (128, sampling)) if name in WARPS else (getattr(eight_bit, name), ())
    whole = how(batch, numbers, *more)
    assert whole.shape == batch.shape
    for rows in ([3], [5, 0], [6, 4, 1, 2, 0]):
        assert torch.equal(how(batch[rows], numbers[rows], *more), whole[rows])
