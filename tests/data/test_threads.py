"""Work on the images of a batch in threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from kdzoo.data.augment import Augment
from kdzoo.data.threads import one_by_one
from kdzoo.recipe.augment import AugmentConfig


@pytest.fixture
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_every_image_once_in_threads_that_share_nothing(threads: int) -> None:
    seen: list[tuple[int, int]] = []
    one_by_one(100, lambda number: seen.append((number, torch.get_num_threads())))
    assert sorted(seen) == [(number, 1) for number in range(100)]
    assert torch.get_num_threads() == threads


def test_an_error_is_raised_and_the_threads_are_as_before(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        one_by_one(100, lambda number: 1 // (number - 7))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    "more", [{}, {"color_prob": 0.5}, {"auto_augment": "trivial-augment"}, {"vflip": 0.5}]
)
def test_views_are_the_same_in_any_number_of_threads_and_batches(
    threads: int, more: dict[str, object]
) -> None:
    generator = torch.Generator().manual_seed(0)
    store = torch.randint(0, 256, (7, 75, 75, 3), dtype=torch.uint8, generator=generator)
    config = AugmentConfig.model_validate({"scale": (0.2, 1.0), "hflip": 0.5, "color": 0.4, **more})
    augment, index = Augment(config, 0, 66), torch.arange(7)
    whole = augment(store, index, index, epoch=3)
    torch.set_num_threads(1)
    assert torch.equal(augment(store, index, index, epoch=3), whole)
    for row in range(7):
        assert torch.equal(augment(store, index[row : row + 1], index[row : row + 1], epoch=3)[0], whole[row])
    uncoloured = augment(store, index, index, epoch=3, color=False)
    changed = (uncoloured != whole).flatten(1).any(1)
    assert changed.any()
    assert changed.all() or "color_prob" in more
