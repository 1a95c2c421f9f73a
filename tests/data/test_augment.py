import pytest
import torch

from kdzoo.counter_rng import below, draws, key, uniform
from kdzoo.data.augment import Augment, crop_and_flip, erase
from kdzoo.recipe.model import AugmentConfig

STORE = torch.randint(0, 256, (40, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
INDEX = torch.arange(40)


def views(index, epoch=0, seed=0, store=STORE, **config):
    return Augment(AugmentConfig(**config), seed)(store, index, index, epoch)


@pytest.mark.parametrize(("pad", "hflip"), [(0, 0.5), (3, 0.0), (3, 0.5), (3, 1.0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_and_flip_agrees_with_one_image_at_a_time(pad, hflip, channels):
    store, drawn = STORE[..., :channels].contiguous(), draws(key("test"), INDEX, range(3))
    got = crop_and_flip(store, INDEX, pad, drawn, hflip)
    top, left, mirrored = (
        below(drawn[0], 2 * pad + 1),
        below(drawn[1], 2 * pad + 1),
        uniform(drawn[2]) < hflip,
    )
    for row in range(40):
        image = store[row].flip(1) if mirrored[row] else store[row]
        padded = torch.zeros(16 + 2 * pad, 16 + 2 * pad, channels)
        padded[pad : pad + 16, pad : pad + 16] = image / 255
        assert torch.equal(got[row], padded[top[row] :, left[row] :][:16, :16])


EVERYTHING = {"crop": 2, "hflip": 0.5, "rotate": 20.0, "color": 0.4, "erase": 0.5}


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


def test_erased_rectangles_have_the_published_sizes():
    index = torch.arange(2000)
    black = erase(torch.ones(2000, 1, 32, 32), draws(key("test"), index, range(7, 12)), 0.25) == 0
    area = black.float().mean((1, 2, 3))
    assert 0.21 < (area > 0).float().mean() < 0.29
    assert area[area > 0].min() > 0.01
    assert 0.25 < area.max() < 0.36
    reached = black.any(dim=0)[0]
    assert reached.any(0).all()  # every column and every row
    assert reached.any(1).all()


def test_colour_jitter_keeps_a_grey_image_grey():
    grey = STORE[..., :1].expand(-1, -1, -1, 3).contiguous()
    red, green, blue = views(INDEX, store=grey, color=0.5).unbind(1)
    torch.testing.assert_close(red, green)
    torch.testing.assert_close(red, blue)
