"""Random resized crops against torchvision's."""

import math
from typing import Any

import pytest
import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional

from kdzoo.counter_rng import draws, key
from kdzoo.data.augment import Augment
from kdzoo.data.crops import DRAWS, boxes, onto, resample
from kdzoo.recipe.augment import AugmentConfig

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def drawn(count: int) -> torch.Tensor:
    return draws(key("crop", 0), torch.arange(count), range(DRAWS))


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (224, 224), (64, 640), (640, 64), (1, 1)])
def test_boxes_have_torchvision_s_distribution(size: tuple[int, int]) -> None:
    count = 4000
    found = boxes(drawn(count), torch.tensor([size]).expand(count, 2), SCALE, RATIO).double()
    torch.manual_seed(0)
    picture = torch.empty(1, size[1], size[0])
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(picture, SCALE, RATIO) for _ in range(count)]
    ).double()
    theirs = theirs[:, [1, 0, 3, 2]]
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] >= 1).all()
    assert (found[:, :2] + found[:, 2:] <= torch.tensor(size)).all()
    for measure in (
        lambda box: box[:, 2] * box[:, 3] / math.prod(size),
        lambda box: (box[:, 2] / box[:, 3]).log(),
        lambda box: (box[:, 0] + box[:, 2] / 2) / size[0],
        lambda box: (box[:, 1] + box[:, 3] / 2) / size[1],
    ):
        ours, other = measure(found), measure(theirs)
        error = 4 * (ours.var() / count + other.var() / count).sqrt() + 1e-3
        assert abs(ours.mean() - other.mean()) < error
        quantiles = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        assert torch.allclose(ours.quantile(quantiles), other.quantile(quantiles), atol=0.04)


def test_a_box_is_a_function_of_its_own_draws_alone() -> None:
    sizes = torch.tensor([[500, 375], [100, 300], [64, 64]])
    whole = boxes(drawn(3), sizes, SCALE, RATIO)
    for row in range(3):
        assert torch.equal(
            boxes(drawn(3)[:, row : row + 1], sizes[row : row + 1], SCALE, RATIO)[0], whole[row]
        )


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_view_is_torchvision_s_of_the_same_box(mode: str, channels: int) -> None:
    store = torch.randint(0, 256, (4, 80, 80, channels), dtype=torch.uint8)
    found = torch.tensor([[0, 0, 80, 80], [10, 20, 30, 40], [79, 79, 1, 1], [3, 5, 64, 17]])
    at, mirrored = torch.tensor([2, 0, 3, 1]), torch.tensor([False, True, False, True])
    views = resample(store, at, found, 48, mirrored, mode)
    for view, position, (left, top, wide, tall), flip in zip(
        views, at.tolist(), found.tolist(), mirrored.tolist(), strict=True
    ):
        image = store[position].permute(2, 0, 1)
        theirs = functional.resized_crop(image, top, left, tall, wide, [48, 48], mode, antialias=True)
        theirs = functional.horizontal_flip(theirs) if flip else theirs
        assert (view.permute(2, 0, 1).int() - theirs.int()).abs().max() <= 2


def test_boxes_lie_on_the_canvas_where_they_lay_on_the_picture() -> None:
    sizes = torch.tensor([[500, 250], [100, 400]])
    found = torch.tensor([[0, 0, 500, 250], [50, 100, 25, 1]])
    assert onto(100, found, sizes).tolist() == [[0, 0, 100, 100], [50, 25, 25, 1]]
    tiny = onto(10, torch.tensor([[99, 399, 1, 1]]), torch.tensor([[100, 400]]))
    assert tiny.tolist() == [[9, 9, 1, 1]]


def test_training_views_are_crops_of_their_own_draws() -> None:
    store = torch.randint(0, 256, (6, 40, 40, 3), dtype=torch.uint8)
    index = torch.arange(6)
    augment = Augment(AugmentConfig(scale=(0.2, 1.0), hflip=0.5, interpolation="bilinear"), 0)
    whole = augment(store, index, index, epoch=3)
    assert whole.shape == (6, 3, 40, 40)
    for row in range(6):
        assert torch.equal(augment(store, index[row : row + 1], index[row : row + 1], epoch=3)[0], whole[row])
    assert not torch.equal(augment(store, index, index, epoch=4), whole)
    assert not torch.equal(augment(store, index, index, epoch=3, view=1), whole)
    everything = Augment(AugmentConfig(scale=(1.0, 1.0), ratio=(1.0, 1.0)), 0)(store, index, index, epoch=0)
    assert torch.equal(everything, store.permute(0, 3, 1, 2).float() * (1 / 255))
    assert everything.max() <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": (0.5, 1.0), "crop": 4}, "set crop to 0"),
        ({"scale": (1.0, 0.5)}, "smaller number first"),
        ({"ratio": (2.0, 0.5)}, "smaller number first"),
        ({"scale": (0.5, 2.0)}, "at most 1"),
    ],
)
def test_impossible_ranges_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**settings)
