import numpy as np
import pytest
import torch
from pydantic import ValidationError

from kdzoo.counter_rng import below, draws, key, uniform
from kdzoo.data.augment import Augment, crop_and_flip, flip_rows
from kdzoo.recipe.augment import AugmentConfig

STORE = torch.randint(0, 256, (40, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
INDEX = torch.arange(40)


def views(index, epoch=0, seed=0, store=STORE, **config):
    return Augment(AugmentConfig(**config), seed)(store, index, index, epoch)


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize(("pad", "hflip"), [(0, 0.5), (3, 0.0), (3, 0.5), (3, 1.0), (16, 0.5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_and_flip_agrees_with_one_image_at_a_time(pad, hflip, channels, padding):
    store, drawn = STORE[..., :channels].contiguous(), draws(key("test"), INDEX, range(3))
    got = crop_and_flip(store, INDEX, pad, drawn, hflip, padding)
    top, left, mirrored = (
        below(drawn[0], 2 * pad + 1),
        below(drawn[1], 2 * pad + 1),
        uniform(drawn[2]) < hflip,
    )
    for row in range(40):
        image = store[row].flip(1) if mirrored[row] else store[row]
        mode = "reflect" if padding == "reflect" else "constant"
        padded = np.pad(image.numpy(), ((pad, pad), (pad, pad), (0, 0)), mode)
        expected = torch.from_numpy(padded)[top[row] :, left[row] :][:16, :16] / 255
        assert torch.equal(got[row], expected)


EVERYTHING = {
    "crop": 2, "hflip": 0.5, "vflip": 0.5, "rotate": 20.0, "auto_augment": "rand-m9-n3-mstd0.5-inc1", "color": 0.4,
    "hue": 0.2, "grey": 0.2, "blur": 0.5, "solarize": 0.2, "erase": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("side", [16, 160])
@pytest.mark.parametrize("config", [{name: EVERYTHING[name]} for name in EVERYTHING] + [EVERYTHING], ids=str)
def test_a_view_does_not_depend_on_its_batch(config, side, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        generator = torch.Generator().manual_seed(1)
        store = torch.randint(0, 256, (11, side, side, 3), dtype=torch.uint8, generator=generator)
        whole = views(INDEX[:11], store=store, **config)
        for part in ([4], [9, 2], [0, 3, 5, 7, 1]):
            assert torch.equal(views(torch.tensor(part), store=store, **config), whole[part])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_operation_varies_with_seed_and_epoch_and_stays_in_range(name):
    config = {name: EVERYTHING[name]}
    once = views(INDEX, **config)
    assert torch.equal(once, views(INDEX, **config))
    assert not torch.equal(once, views(INDEX, epoch=1, **config))
    assert not torch.equal(once, views(INDEX, seed=1, **config))
    assert not torch.equal(once, views(INDEX))
    assert once.shape == (40, 3, 16, 16)
    assert once.min() >= 0
    assert once.max() <= 1


def test_turning_one_operation_on_leaves_the_others_as_they_were():
    erased = views(INDEX, crop=2, erase=1.0)
    kept = erased != 0
    assert torch.equal(erased[kept], views(INDEX, crop=2)[kept])


def test_grey_images_take_every_operation():
    assert views(INDEX, store=STORE[..., :1].contiguous(), **EVERYTHING).shape == (40, 1, 16, 16)


def test_colour_jitter_keeps_a_grey_image_grey():
    grey = STORE[..., :1].expand(-1, -1, -1, 3).contiguous()
    red, green, blue = views(INDEX, store=grey, color=0.5).unbind(1)
    torch.testing.assert_close(red, green)
    torch.testing.assert_close(red, blue)


@pytest.mark.parametrize("channels", [1, 3])
def test_vertical_flips_turn_whole_images(channels):
    images = STORE[..., :channels].permute(0, 3, 1, 2) / 255
    drawn = draws(key("test"), INDEX, range(1))[0]
    turned = uniform(drawn) < 0.5
    assert 8 < turned.sum() < 32
    found = flip_rows(images, drawn, 0.5)
    assert torch.equal(found[turned], images[turned].flip(2))
    assert torch.equal(found[~turned], images[~turned])


MANY = torch.arange(4000)


def changed(**config):
    """(4000,) bool: which samples the configuration changes."""
    store = STORE[:1, :8, :8].contiguous()
    found = Augment(AugmentConfig(**config), 0)(store, torch.zeros_like(MANY), MANY, 0)
    return (found != store[0].permute(2, 0, 1) / 255).flatten(1).any(1)


@pytest.mark.parametrize("name", ["hflip", "vflip", "grey", "blur", "solarize", "erase"])
def test_an_operation_happens_as_often_as_asked(name):
    assert abs(changed(**{name: 0.3}).float().mean() - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5
    assert changed(**{name: 1.0}).all()


@pytest.mark.parametrize("name", ["color", "hue"])
def test_colour_jitter_happens_with_its_probability_and_as_it_would_without(name):
    hit = changed(**{name: 0.3}, color_prob=0.3)
    assert abs(hit.float().mean() - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5
    always = views(INDEX, **{name: 0.3})
    sometimes = views(INDEX, **{name: 0.3}, color_prob=0.5)
    same = (always == sometimes).flatten(1).all(1)
    assert 8 < same.sum() < 32
    assert torch.equal(sometimes[~same], views(INDEX)[~same])


def test_a_weak_view_has_the_crop_and_the_flips_of_the_strong_one():
    weak = Augment(AugmentConfig(**EVERYTHING), 0)(STORE, INDEX, INDEX, 0, weak=True)
    assert torch.equal(weak, views(INDEX, crop=2, hflip=0.5, vflip=0.5))
    other = Augment(AugmentConfig(**EVERYTHING), 0)(STORE, INDEX, INDEX, 0, view=1, weak=True)
    assert not torch.equal(other, weak)


def test_without_colour_a_view_has_the_geometry_alone():
    """So another modality is varied."""
    still = {"crop": 2, "hflip": 0.5, "vflip": 0.5, "rotate": 20.0, "erase": 0.5}
    moved = {**EVERYTHING, "auto_augment": None}
    one = Augment(AugmentConfig(**moved), 0)(STORE, INDEX, INDEX, 0, color=False)
    assert torch.equal(one, views(INDEX, **still))


def test_ranges_in_the_wrong_order_are_refused():
    for name in ("blur_sigma", "erase_area", "erase_ratio"):
        with pytest.raises(ValidationError, match=f"{name} is a range from 0.5 to 0.1"):
            AugmentConfig(**{name: (0.5, 0.1)})
