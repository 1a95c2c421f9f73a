"""Random erasing against timm's."""

from __future__ import annotations

import math
import random

import pytest
import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.data.random_erasing import RandomErasing

from kdzoo.counter_rng import key
from kdzoo.data.erasing import erase
from kdzoo.recipe.augment import AugmentConfig

KEY, SIDE, COUNT = key("test"), 32, 3000
MEAN, DEVIATION = torch.tensor(IMAGENET_DEFAULT_MEAN), torch.tensor(IMAGENET_DEFAULT_STD)


def erased(images, probability=1.0, **config):
    return erase(images, KEY, torch.arange(len(images)), AugmentConfig(erase=probability, **config))


def black(count=COUNT, **config):
    """(count, SIDE, SIDE) bool: what is erased."""
    return erased(torch.ones(count, 1, SIDE, SIDE), **config)[:, 0] == 0


def boxes(masks):
    """Height and width of what is erased in each image, (B, 2)."""
    return torch.stack([masks.any(2).sum(1), masks.any(1).sum(1)], 1).double()


def by_timm(**given):
    torch.manual_seed(0)
    random.seed(0)
    once = RandomErasing(1.0, device="cpu", mode="const", **given)
    return once(torch.ones(COUNT, 1, SIDE, SIDE))[:, 0] == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        (
            {"erase_area": (0.1, 0.2), "erase_ratio": (0.5, 2.0)},
            {"min_area": 0.1, "max_area": 0.2, "min_aspect": 0.5},
        ),
        ({"erase_count": 3}, {"max_count": 3}),
    ],
    ids=["default", "ranges", "count"],
)
def test_rectangles_are_distributed_as_timm_s(ours, theirs):
    found, other = black(**ours), by_timm(**theirs)
    for measure in (
        lambda masks: masks.flatten(1).double().mean(1),
        lambda masks: (boxes(masks)[:, 0] / boxes(masks)[:, 1]).log(),
        lambda masks: boxes(masks).amax(1),
        lambda masks: masks.any(2).double().argmax(1).double(),
        lambda masks: masks.any(1).double().argmax(1).double(),
    ):
        one, two = measure(found), measure(other)
        assert abs(one.mean() - two.mean()) < 4 * math.sqrt((one.var() + two.var()) / COUNT) + 0.01
        quantiles = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9], dtype=torch.float64)
        reach = two.max() - two.min()
        assert torch.allclose(one.quantile(quantiles), two.quantile(quantiles), atol=0.06 * float(reach))
    assert found.any(0).all()  # every pixel is reached


def test_how_often_and_how_many():
    some = black(erase_count=4, probability=0.3).flatten(1).any(1).double().mean()
    assert abs(some - 0.3) < 4 * math.sqrt(0.3 * 0.7 / COUNT)
    assert torch.equal(black(erase_count=1), black()), "the first rectangle is that of a single one"


def test_black_is_zero_and_const_is_the_mean_colour():
    images = torch.ones(200, 3, SIDE, SIDE)
    where = black(200)
    assert torch.equal(erased(images), images.masked_fill(where[:, None], 0))
    found = erased(images, erase_mode="const").permute(0, 2, 3, 1)
    torch.testing.assert_close(found[where], MEAN.expand(int(where.sum()), 3))
    assert (found[~where] == 1).all()


def normal(colours):
    """Whether colours (n, 3) of [0, 1] are normal with ImageNet's mean and deviation, cut to [0, 1]."""
    torch.manual_seed(0)
    expected = (torch.randn(20000, 3) * DEVIATION + MEAN).clamp(0, 1)
    quantiles = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    atol = 3 / math.sqrt(len(colours)) * 0.5 + 0.01
    return torch.allclose(colours.quantile(quantiles, 0), expected.quantile(quantiles, 0), atol=atol)


def test_rand_has_one_colour_for_each_rectangle_and_channel():
    where = black(1500)
    found = erased(torch.full((1500, 3, SIDE, SIDE), 2.0), erase_mode="rand").permute(0, 2, 3, 1)
    firsts = torch.stack([image[mask][0] for image, mask in zip(found, where, strict=True)])
    assert all((image[mask] == first).all() for image, mask, first in zip(found, where, firsts, strict=True))
    assert normal(firsts)
    assert abs(torch.corrcoef(firsts.T) - torch.eye(3)).max() < 0.1


def test_pixel_has_a_colour_for_each_pixel_and_image():
    where = black(60)
    found = erased(torch.full((60, 3, SIDE, SIDE), 2.0), erase_mode="pixel").permute(0, 2, 3, 1)
    assert ((found != 2).all(3) == where).all()
    assert normal(found[where])
    whole = erased(
        torch.ones(2, 1, 64, 64), erase_mode="pixel", erase_area=(1.0, 1.0), erase_ratio=(1.0, 1.0)
    )
    beside = torch.stack([whole[0, 0, :, 1:].flatten(), whole[0, 0, :, :-1].flatten()])
    for pair in (whole.flatten(1), beside):
        assert abs(torch.corrcoef(pair)[0, 1]) < 4 / 64


@pytest.mark.parametrize("mode", ["black", "const", "rand", "pixel"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_erased_depends_on_the_sample_alone(mode, channels):
    images = torch.full((9, channels, 16, 12), 2.0)
    config = AugmentConfig(erase=0.7, erase_mode=mode, erase_count=3)
    index = torch.arange(9) * 5
    whole = erase(images, KEY, index, config)
    for rows in ([3], [8, 0], [6, 4, 1, 2, 0]):
        assert torch.equal(erase(images[rows], KEY, index[rows], config), whole[rows])
    black = erase(images, KEY, index, config.model_copy(update={"erase_mode": "black"}))
    assert torch.equal(whole != 2, black != 2)
