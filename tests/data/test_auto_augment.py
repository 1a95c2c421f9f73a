"""Automatic augmentation: timm's notation, and the distributions of timm's and torchvision's transforms."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from pydantic import ValidationError
from timm.data import auto_augment as timm
from torchvision.transforms import TrivialAugmentWide

from kdzoo.counter_rng import draws, key, uniform
from kdzoo.data.auto_augment import AutoAugment, rand_operations
from kdzoo.data.cutout import cutout
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.auto_augment import RandAugment, parse

COUNT = 20000
KEY = key("test")


def test_the_notation_is_timm_s():
    assert parse("rand") == RandAugment()
    assert parse("rand-m9-mstd0.5-inc1") == RandAugment(magnitude=9, deviation=0.5, increasing=True)
    assert parse("rand-n3-m7-p0.8-mmax15") == RandAugment(magnitude=7, layers=3, probability=0.8, largest=15)
    assert parse("rand-mstd101").deviation == math.inf
    for name in ("rand-m9-mstd0.5-inc1", "rand-n3-m7-p0.8-mmax15", "rand-mstd101-m4-inc0"):
        ours, theirs = parse(name), timm.rand_augment_transform(name)
        first = theirs.ops[0]
        assert (ours.magnitude, ours.layers, ours.probability) == (
            first.magnitude,
            theirs.num_layers,
            first.prob,
        )
        assert (ours.deviation, ours.largest) == (first.magnitude_std, first.magnitude_max or 10)
        names = [one.name for one in theirs.ops]
        assert ours.increasing == ("ColorIncreasing" in names)
        assert [one.name for one in rand_operations(ours.increasing)] == [
            name.removesuffix("Increasing").removesuffix("Rel") for name in names
        ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("augmix-m5", "'augmix-m5' is no automatic augmentation of kdzoo"),
        ("randm9", "'randm9' is no automatic augmentation of kdzoo"),
        ("", "'' is no automatic augmentation of kdzoo"),
        ("rand-m9-w0", "'w0' in 'rand-m9-w0' is unknown"),
        ("rand-m9-tweights", "'tweights' in 'rand-m9-tweights' is unknown"),
        ("rand-m-9", "'m' in 'rand-m-9' is unknown"),
        ("rand-inc", "'inc' in 'rand-inc' is unknown"),
        ("rand-m9-m8", "'m8' in 'rand-m9-m8' is there twice"),
        ("rand-n0", "n in 'rand-n0': from 1 to 16"),
        ("rand-n2.5", "n in 'rand-n2.5': from 1 to 16"),
        ("rand-p1.5", "p in 'rand-p1.5': from 0 to 1"),
        ("rand-inc2", "inc in 'rand-inc2': from 0 to 1"),
    ],
)
def test_what_is_not_understood_is_refused_in_one_line(name, message):
    with pytest.raises(ValidationError) as refused:
        AugmentConfig(auto_augment=name)
    (error,) = refused.value.errors()
    assert message in error["msg"]
    assert "\n" not in error["msg"]


def drawn(name):
    """Each layer's operations by name, with the numbers that they got, of those that happen."""
    automatic = AutoAugment(name)
    layers = automatic.layers(KEY, torch.arange(COUNT))
    numbers = defaultdict(list)
    for layer in layers:
        for place, operation in enumerate(automatic.operations):
            rows = (layer.chosen == place) & layer.happens
            numbers[operation.name] += operation.number(layer.strength[rows], layer.sign[rows]).tolist()
    return numbers, len(layers)


class Noting(timm.AugmentOp):
    """Notes the numbers that it would call its operation with."""

    def __init__(self, *given):
        super().__init__(*given)
        self.numbers = []
        self.aug_fn = lambda image, *number, **_: self.numbers.append(*(number or (0,)))


def timm_numbers(name):
    """What timm's RandAugment calls its operations with."""
    random.seed(0)
    np.random.seed(0)
    asked = timm.rand_augment_transform(name)
    noting = [Noting(one.name, one.prob, one.magnitude, one.hparams) for one in asked.ops]
    transform = timm.RandAugment(noting, asked.num_layers)
    for _ in range(COUNT):
        transform(None)
    return {one.name.removesuffix("Increasing").removesuffix("Rel"): one.numbers for one in noting}


@pytest.mark.parametrize(
    "name", ["rand-m9-mstd0.5-inc1", "rand-m4-n3-p0.8", "rand-m15-mstd2-mmax20-inc1", "rand-m6-mstd101"]
)
def test_operations_and_their_numbers_are_distributed_as_timm_s(name):
    ours, layers = drawn(name)
    theirs = timm_numbers(name)
    assert set(ours) == set(theirs)
    probability = parse(name).probability
    happen = sum(len(one) for one in ours.values())
    tried = COUNT * layers
    assert abs(happen - tried * probability) < 4 * math.sqrt(tried * probability * (1 - probability))
    expected = happen / 15
    assert (
        sum((len(one) - expected) ** 2 / expected for one in ours.values()) < 36.1
    )  # 99.9 % of chi-square with 14
    for operation, numbers in ours.items():
        if operation in ("AutoContrast", "Equalize", "Invert"):
            continue
        found, other = np.array(numbers), np.array(theirs[operation])
        points = np.unique(np.quantile(other, np.linspace(0.02, 0.98, 25)))
        apart = [abs((found <= point + 1e-9).mean() - (other <= point + 1e-9).mean()) for point in points]
        assert max(apart) < 1.95 * math.sqrt(1 / len(found) + 1 / len(other)), (
            operation
        )  # Kolmogorov-Smirnov, 99.9 %
        assert found.min() >= other.min() - 0.15 * np.ptp(other) - 1e-9
        assert found.max() <= other.max() + 0.15 * np.ptp(other) + 1e-9


def test_sampling_is_bilinear_or_bicubic_as_often_as_in_timm():
    """timm chooses anew for each operation; so do the layers here."""
    random.seed(0)
    both = timm._RANDOM_INTERPOLATION
    theirs = Counter(timm._interpolation({"resample": both}) for _ in range(COUNT))
    automatic = AutoAugment("rand-m9-n2-p1")
    fine = torch.stack([layer.fine for layer in automatic.layers(KEY, torch.arange(COUNT))])
    assert set(theirs) == {Image.Resampling.BILINEAR, Image.Resampling.BICUBIC}
    for layer in fine:
        assert abs(int(layer.sum()) - theirs[Image.Resampling.BICUBIC]) < 4 * math.sqrt(COUNT / 2)
    assert abs(int((fine[0] ^ fine[1]).sum()) - COUNT / 2) < 4 * math.sqrt(COUNT / 4)
    for operation in automatic.operations:
        assert operation.geometric == (operation.finer is not None)
        if operation.finer is not None:
            assert (operation.apply.keywords["mode"], operation.finer.keywords["mode"]) == (
                "bilinear",
                "bicubic",
            )
    assert all(one.finer is None for one in AutoAugment("trivial-augment").operations)


def test_trivial_augment_is_torchvision_s():
    ours, layers = drawn("trivial-augment")
    space = TrivialAugmentWide()._augmentation_space(31)
    assert layers == 1
    assert list(space) == [one.name for one in AutoAugment("trivial-augment").operations]
    expected = COUNT / 14
    assert (
        sum((len(one) - expected) ** 2 / expected for one in ours.values()) < 34.5
    )  # 99.9 % of chi-square with 13
    for operation, (magnitudes, signed) in space.items():
        if not magnitudes.ndim:
            continue
        theirs = magnitudes.double()
        if operation.startswith("Translate"):
            theirs = (theirs + 1e-4).trunc()  # theirs rounds the 16 of its middle bin to 15
        theirs = torch.cat([theirs, -theirs]) if signed else theirs
        if operation in ("Brightness", "Color", "Contrast", "Sharpness"):
            theirs = theirs + 1
        allowed, found = Counter((theirs + 0.0).tolist()), torch.tensor(ours[operation], dtype=torch.float64)
        distances = (found[:, None] - theirs).abs().amin(1)
        assert distances.max() < 1e-4, operation  # no other magnitude, and each as often as there
        spread = len(found) / len(theirs)
        for value, times in allowed.items():
            seen = int(((found - value).abs() < 1e-4).sum())
            assert abs(seen - spread * times) < 4.5 * math.sqrt(spread * times), (operation, value)


def test_3_augment_takes_one_of_three_and_blurs_by_0_1_to_2_pixels():
    numbers, layers = drawn("3-augment")
    assert layers == 1
    assert sorted(numbers) == ["Blur", "Grey", "Solarize"]
    assert all(abs(len(one) - COUNT / 3) < 4 * math.sqrt(COUNT * 2 / 9) for one in numbers.values())
    assert set(numbers["Solarize"]) == {128}
    widths = torch.tensor(numbers["Blur"])
    assert 0.1 <= widths.min() < 0.11
    assert 1.99 < widths.max() < 2
    assert abs(widths.mean() - 1.05) < 4 * 1.9 / math.sqrt(12 * len(widths))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["rand-m9-n3-p1-mstd0.5-inc1", "trivial-augment", "3-augment", "fixmatch"])
def test_a_view_is_a_function_of_its_own_sample(name, channels):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 24, 20, channels), generator=generator).div(255).permute(0, 3, 1, 2)
    index = torch.arange(40) * 7
    automatic = AutoAugment(name)
    whole = automatic(images.clone(), KEY, index)
    assert whole.shape == images.shape
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert (whole != images).flatten(1).any(1).float().mean() > 0.5
    for rows in ([3], [39, 0], [5, 4, 11, 23, 7]):
        assert torch.equal(automatic(images[rows].clone(), KEY, index[rows]), whole[rows])
    assert not torch.equal(automatic(images.clone(), key("other"), index), whole)


@pytest.mark.parametrize("name", ["rand-m9-n3-p1-inc1", "trivial-augment", "3-augment"])
def test_without_colour_the_geometry_alone_changes(name):
    """A picture of one value shows where pixels came from outside: at the same places with and without colour."""
    flat, index = torch.ones(200, 3, 16, 16), torch.arange(200)
    automatic = AutoAugment(name)
    still = automatic(flat.clone(), KEY, index, color=False)
    moving = {place for place, one in enumerate(automatic.operations) if one.geometric}
    moved = torch.stack([
        layer.happens & torch.tensor([int(place) in moving for place in layer.chosen])
        for layer in automatic.layers(KEY, index)
    ]).any(0)  # fmt: skip
    assert not (still != 1).flatten(1).any(1)[~moved].any()
    assert moved.any() == (name != "3-augment")
    if moving:
        assert (still != 1).flatten(1).any(1)[moved].float().mean() > 0.8


FIXMATCH = {
    "AutoContrast": (),
    "Brightness": (0.05, 0.95),
    "Color": (0.05, 0.95),
    "Contrast": (0.05, 0.95),
    "Equalize": (),
    "Identity": (),
    "Posterize": (4, 7),
    "Rotate": (-30, 30),
    "Sharpness": (0.05, 0.95),
    "ShearX": (-0.3, 0.3),
    "ShearY": (-0.3, 0.3),
    "Solarize": (0, 256),
    "TranslateX": (-0.3, 0.3),
    "TranslateY": (-0.3, 0.3),
}
"""The strengths of the authors' table 12; whole bits of what is drawn between 4 and 8."""


def test_fixmatch_takes_two_operations_at_uniform_strengths():
    numbers, layers = drawn("fixmatch")
    assert layers == 2
    assert list(FIXMATCH) == [one.name for one in AutoAugment("fixmatch").operations]
    expected = 2 * COUNT / 14
    assert sum((len(one) - expected) ** 2 / expected for one in numbers.values()) < 34.5  # 99.9 %, 13 degrees
    for name, limits in FIXMATCH.items():
        if not limits:
            continue
        (low, high), found = limits, np.array(numbers[name])
        assert (found.min(), found.max()) == pytest.approx(limits, abs=0.01 * (high - low)), name
        if name == "Posterize":
            assert set(found) == {4, 5, 6, 7}
        else:
            spread = (high - low) / math.sqrt(12 * len(found))
            assert abs(found.mean() - (low + high) / 2) < 4 * spread, name


@pytest.mark.parametrize("channels", [1, 3])
def test_fixmatch_ends_with_the_square_that_pillow_draws(channels):
    index, height, width = torch.arange(500), 20, 24
    black = cutout(torch.zeros(500, channels, height, width), KEY, index, 7)
    side, x, y = uniform(draws(KEY, index, range(7, 10))).double()
    colour = (125, 123, 114) if channels == 3 else 123
    for row, (v, across, down) in enumerate(zip(side * 0.5 * width, x * width, y * height, strict=True)):
        left, top = (int(max(0, float(middle - v / 2))) for middle in (across, down))
        shown = Image.new("RGB" if channels == 3 else "L", (width, height))
        box = (left, top, min(width, left + float(v)), min(height, top + float(v)))
        ImageDraw.Draw(shown).rectangle(box, colour)
        pixels = np.asarray(shown).reshape(height, width, channels)
        assert np.array_equal((black[row] * 255).round().permute(1, 2, 0).numpy(), pixels), (v, across, down)


def test_the_square_is_in_every_modality_alike():
    images = torch.rand(20, 3, 16, 16)
    index = torch.arange(20)
    grey = torch.tensor([125, 123, 114]).view(3, 1, 1) / 255
    one, other = (AutoAugment("fixmatch")(images.clone(), KEY, index, color=color) for color in (True, False))
    squares = [(shown == grey).all(1) for shown in (one, other)]
    assert torch.equal(*squares)
    assert squares[0].any()
