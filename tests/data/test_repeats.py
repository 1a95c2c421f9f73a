"""Repeated augmentation against timm's sampler, and weak views of opened data."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from timm.data.distributed_sampler import RepeatAugSampler

GEOMETRY = {"crop": 1, "hflip": 0.5}


def epoch(stream, number=0):
    stream.set_epoch(number)
    return list(stream)


@pytest.mark.parametrize(("repeats", "batch_size"), [(2, 8), (3, 8), (4, 6)])
def test_an_epoch_is_as_long_and_shows_each_of_its_samples_several_times(
    make_folder, open_, repeats, batch_size
):
    folder = make_folder(train=20, test=2)
    once = open_(folder, augment=GEOMETRY, batch_size=batch_size, val_fraction=0).train
    data = open_(
        folder, augment={**GEOMETRY, "repeats": repeats}, batch_size=batch_size, val_fraction=0
    ).train
    assert len(data) == len(once) == 60 // batch_size
    order = torch.cat([batch.index for batch in epoch(data)]).tolist()
    shown = [*dict.fromkeys(order)]
    theirs = [row for row in shown for _ in range(repeats)][: len(order)]
    assert order == theirs
    assert shown == torch.cat([batch.index for batch in epoch(once)]).tolist()[: len(shown)]
    sampler = RepeatAugSampler(range(60), num_replicas=1, rank=0, shuffle=False, num_repeats=repeats)
    assert [shown.index(row) for row in order] == list(sampler)[: len(order)]


def test_each_is_another_view_and_the_first_is_that_of_an_epoch_without_repeats(make_folder, open_):
    folder = make_folder(size=12, train=20, test=2)
    varied = {"crop": 4, "color": 0.4}
    data = open_(folder, augment={**varied, "repeats": 3})
    seen = Counter()
    for batch in epoch(data.train, 2):
        first = data.fetch(batch.index).inputs["image"]
        for row, image, plain in zip(batch.index.tolist(), batch.inputs["image"], first, strict=True):
            assert torch.equal(image, plain) == (seen[row] == 0)
            seen[row] += 1
    other = open_(folder, augment=varied)
    other.train.set_epoch(2)
    index = torch.tensor([*seen])
    assert torch.equal(data.fetch(index).inputs["image"], other.fetch(index).inputs["image"])


def test_processes_share_the_views_of_a_sample(make_folder, open_):
    folder = make_folder(train=20, test=2)
    given = {"augment": {"crop": 4, "repeats": 2}}
    alone = epoch(open_(folder, batch_size=8, **given).train, 1)
    shares = [epoch(open_(folder, batch_size=4, world=2, rank=rank, **given).train, 1) for rank in (0, 1)]
    for batch, one, two in zip(alone, *shares, strict=True):
        assert torch.equal(one.index, two.index)
        assert torch.equal(torch.stack([one.index, two.index], 1).flatten(), batch.index)
        together = torch.stack([one.inputs["image"], two.inputs["image"]], 1).flatten(0, 1)
        assert torch.equal(together, batch.inputs["image"])


def test_a_set_that_streams_shows_the_same_views_and_leaves_unreadable_images_out(make_folder, open_):
    folder = make_folder(train=10, test=2)
    (folder / "train" / "cat" / "003.png").write_bytes(b"not an image")
    given = {"augment": {"crop": 2, "color": 0.5, "repeats": 2}, "bad_images": 0.5, "val_fraction": 0}
    read, decoded = open_(folder, cache_gb=0, workers=0, **given), open_(folder, **given)
    bad = read.names.index("cat/003.png")
    number = 0
    while not any(bad in split for split in read.train._batches()):
        number += 1
        read.train.set_epoch(number)
    found, expected = ({}, {})
    for stream, views in ((read.train, found), (decoded.train, expected)):
        for batch in epoch(stream, number):
            for row, image in zip(batch.index.tolist(), batch.inputs["image"], strict=True):
                views.setdefault(row, []).append(image)
    assert bad not in found
    twice = [row for row in found if len(found[row]) == len(expected.get(row, ())) == 2]
    assert len(twice) >= 8
    assert all(torch.equal(torch.stack(found[row]), torch.stack(expected[row])) for row in twice)


def test_a_weak_view_is_cropped_and_flipped_as_the_strong_one_and_no_further(make_folder, open_):
    folder = make_folder(size=12, train=10, test=1)
    strong = {**GEOMETRY, "vflip": 0.5, "auto_augment": "rand-m9-mstd0.5-inc1", "color": 0.4, "erase": 1.0}
    data, weak = open_(folder, augment=strong), open_(folder, augment={**GEOMETRY, "vflip": 0.5})
    for number in range(2):
        for one, other in zip(epoch(data.train, number), epoch(weak.train, number), strict=True):
            found = data.fetch(one.index, weak=True)
            assert torch.equal(found.inputs["image"], other.inputs["image"])
            assert torch.equal(found.target, one.target)
            assert not torch.equal(found.inputs["image"], one.inputs["image"])
            second = data.fetch(one.index, view=1, weak=True).inputs["image"]
            assert torch.equal(second, weak.fetch(one.index, view=1).inputs["image"])


def test_a_method_has_a_strong_view_of_its_own(make_folder, open_):
    """Cropped and flipped as the view of that number, then its own operations and none of the recipe's."""
    folder = make_folder(size=12, train=10, test=1)
    own = {**GEOMETRY, "color": 0.4, "erase": 1.0}
    data, strong = open_(folder, augment=own), open_(folder, augment={**GEOMETRY, "auto_augment": "fixmatch"})
    for number in range(2):
        for one, other in zip(epoch(data.train, number), epoch(strong.train, number), strict=True):
            found = data.fetch(one.index, auto_augment="fixmatch")
            assert torch.equal(found.inputs["image"], other.inputs["image"])
            assert torch.equal(found.target, one.target)
            second = data.fetch(one.index, view=1, auto_augment="fixmatch").inputs["image"]
            assert torch.equal(second, strong.fetch(one.index, view=1).inputs["image"])
            assert not torch.equal(second, found.inputs["image"])
