"""Colours and blur of images in [0, 1] against torchvision's and Pillow's, on a photograph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image
from torchvision.transforms.v2 import functional as torchvision

from kdzoo.data import color
from kdzoo.data.blur import blur, reach

PIXELS = torch.from_numpy(load_sample_image("flower.jpg")[100:260, 200:360].copy()).permute(2, 0, 1)
PICTURE = PIXELS / 255


def apart(found, pixels):
    """In steps of 8 bits."""
    return (found * 255 - pixels.float()).abs().max()


def number(value):
    return torch.tensor([value])


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(color.brighten, torchvision.adjust_brightness), (color.saturate, torchvision.adjust_saturation)],
)
def test_brightness_and_saturation_are_torchvision_s(ours, theirs, factor):
    assert apart(ours(PICTURE[None].clone(), number(factor))[0], theirs(PIXELS, factor)) <= 2


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
def test_contrast_is_torchvision_s_about_the_mean_of_all_channels(factor):
    """torchvision's mean is that of the luma."""
    found = color.contrast(PICTURE[None].clone(), number(factor))[0]
    mean = PICTURE.mean()
    torch.testing.assert_close(found, (mean + factor * (PICTURE - mean)).clamp(0, 1), atol=1e-5, rtol=0)
    grey = PIXELS[:1]
    found = color.contrast(grey[None] / 255, number(factor))[0]
    assert apart(found, torchvision.adjust_contrast(grey, factor)) <= 2


@pytest.mark.parametrize("shift", [-0.5, -0.13, 0.0, 0.05, 0.31, 0.5])
def test_hue_is_torchvision_s(shift):
    steps = torch.arange(0, 256, 17, dtype=torch.uint8)
    cube = torch.cartesian_prod(steps, steps, steps).T.reshape(3, 64, 64)
    for pixels in (PIXELS, cube):
        found = color.turn_hue(pixels[None] / 255, number(shift))[0]
        assert apart(found, torchvision.adjust_hue(pixels, shift)) <= 2


def test_a_whole_turn_and_grey_are_unchanged():
    torch.testing.assert_close(
        color.turn_hue(PICTURE[None].clone(), number(1.0))[0], PICTURE, atol=1e-5, rtol=0
    )
    grey = PICTURE[:1].expand(3, -1, -1)[None]
    assert torch.equal(color.turn_hue(grey.clone(), number(0.3)), grey)


def test_grey_and_solarise_are_torchvision_s_and_pillow_s():
    assert apart(color.fade(PICTURE[None])[0], torchvision.rgb_to_grayscale(PIXELS, 3)) <= 2
    found = color.solarize(PICTURE[None])[0]
    assert apart(found, torchvision.solarize(PIXELS, 128)) < 1e-3
    every = np.arange(256, dtype=np.uint8)[None]
    steps = torch.from_numpy(np.asarray(ImageOps.solarize(Image.fromarray(every), 128)).copy())
    assert apart(color.solarize(torch.from_numpy(every)[None, None] / 255)[0, 0], steps) < 1e-3


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.3, 2.0])
def test_blur_is_torchvision_s(sigma):
    found = blur(PICTURE[None], number(sigma), reach(2.0))[0]
    assert apart(found, torchvision.gaussian_blur(PIXELS, [23, 23], [sigma, sigma])) <= 2


def test_a_picture_smaller_than_the_kernel_is_blurred():
    tiny = torch.rand(2, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    found = blur(tiny, torch.tensor([0.1, 50.0]), reach(50.0))
    torch.testing.assert_close(found[0], tiny[0])
    assert found[1].std() < tiny[1].std() / 3


@pytest.mark.parametrize("how", [color.brighten, color.contrast, color.saturate, color.turn_hue, "blur"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_an_image_becomes_depends_on_no_other(how, channels):
    images = torch.rand(7, channels, 19, 23, generator=torch.Generator().manual_seed(0))
    numbers = torch.tensor([0.3, 0.5, 1.0, 1.5, 0.1, 1.9, 0.7])
    how = (lambda images, sigma: blur(images, sigma, 6)) if how == "blur" else how
    whole = how(images.clone(), numbers)
    assert whole.shape == images.shape
    for rows in ([3], [5, 0], [6, 4, 1, 2, 0]):
        assert torch.equal(how(images[rows].clone(), numbers[rows]), whole[rows])


def test_jitter_is_the_three_one_after_the_other():
    images = torch.rand(4, 3, 70, 80).contiguous(memory_format=torch.channels_last)
    factors = torch.tensor([[0.6, 1.4, 1.0, 1.3], [1.4, 0.6, 1.0, 0.7], [0.0, 1.4, 1.0, 0.6]])
    expected = images.clone(memory_format=torch.contiguous_format)
    for how, numbers in zip((color.brighten, color.contrast, color.saturate), factors, strict=True):
        how(expected, numbers)
    for some in (slice(0, 1), slice(1, 4)):
        color.jitter(images.permute(0, 2, 3, 1)[some], *factors[:, some])
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)


def test_factors_of_one_leave_every_bit():
    images = torch.rand(3, 70, 80, 3)
    before = images.clone()
    color.jitter(images, *torch.ones(3, 3))
    assert torch.equal(images, before)
