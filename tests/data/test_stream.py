import random

import numpy as np
import pytest
import torch

from kdzoo.api import UNLABELLED, KdzooError

GEOMETRY = {"crop": 1, "hflip": 0.5}


def epoch(stream, number=0, start=0):
    stream.set_epoch(number, start)
    return list(stream)


def indices(batches):
    return torch.cat([batch.index for batch in batches]).tolist()


def views(batches):
    """index -> its view."""
    return {
        row: image
        for batch in batches
        for row, image in zip(batch.index.tolist(), batch.inputs["image"], strict=True)
    }


def test_batches_are_what_the_api_promises(make_folder, open_):
    data = open_(make_folder(train=10, test=5), img_size=8)
    assert (data.classes, data.channels, data.img_size) == (("cat", "dog", "owl"), {"image": 3}, 8)
    assert (len(data.train), len(data.val), len(data.test)) == (3, 1, 2)
    for stream in (data.train, data.val, data.test):
        batches = list(stream)
        assert len(batches) == len(stream)
        for batch in batches:
            image = batch.inputs["image"]
            assert image.dtype == torch.float32
            assert image.is_contiguous(memory_format=torch.channels_last)
            assert batch.index.dtype == batch.target.dtype == torch.int64
            assert len(image) == len(batch.index) == len(batch.target)
            assert batch.progress == 0
    assert [len(batch) for batch in data.test] == [8, 7]


def test_images_targets_and_rows_belong_together(make_folder, open_, colours):
    data = open_(make_folder(train=10, test=5), augment={})
    for stream, red in ((data.train, 40), (data.val, 40), (data.test, 120)):
        batches = list(stream)
        targets = torch.cat([batch.target for batch in batches]).tolist()
        per_class = stream.rows // 3
        expected = [(red, 60 * c, row % per_class) for row, c in zip(indices(batches), targets, strict=True)]
        assert colours(batches) == expected
    assert indices(data.test) == list(range(15))


def test_an_epoch_can_be_replayed(make_folder, open_):
    folder = make_folder(train=20, test=2)
    first, second = open_(folder, augment=GEOMETRY).train, open_(folder, augment=GEOMETRY).train
    epoch(second, 3)
    once, again = epoch(first, 5), epoch(second, 5)
    assert indices(once) == indices(again)
    assert all(torch.equal(a.inputs["image"], b.inputs["image"]) for a, b in zip(once, again, strict=True))
    assert indices(epoch(first, 6)) != indices(once)
    assert indices(epoch(open_(folder, augment=GEOMETRY, seed=1).train, 5)) != indices(once)


@pytest.mark.parametrize(
    "other", [{"batch_size": 3}, {"world": 2, "batch_size": 4}, {"cache_gb": 0}], ids=str
)
def test_a_view_does_not_depend_on_batch_size_processes_or_decoding(make_folder, open_, other):
    folder = make_folder(train=20, test=2)
    here = views(epoch(open_(folder, augment=GEOMETRY).train, 2))
    there = views(epoch(open_(folder, augment=GEOMETRY, workers=0, **other).train, 2))
    common = here.keys() & there.keys()
    assert len(common) >= 20
    assert all(torch.equal(here[row], there[row]) for row in common)


def test_later_epochs_repeat_the_views_of_the_first_ones(make_folder, open_):
    folder = make_folder(train=10, test=5)
    fresh = open_(folder, augment=GEOMETRY).train
    stream = open_(folder, augment=GEOMETRY, views=3).train

    def seen(batches):
        return b"".join(batch.inputs["image"].numpy().tobytes() for batch in batches)

    first = [seen(epoch(fresh, number)) for number in range(3)]
    assert len(set(first)) == 3
    rounds = [
        [first.index(seen(epoch(stream, 3 * turn + number))) for number in range(3)] for turn in range(6)
    ]
    assert rounds[0] == [0, 1, 2]
    assert all(sorted(one) == [0, 1, 2] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 2


@pytest.mark.parametrize("cache_gb", [4, 0])
def test_resume_goes_on_where_it_stopped(make_folder, open_, cache_gb):
    stream = open_(make_folder(train=20, test=2), cache_gb=cache_gb, workers=0, augment={"mixup": 1.0}).train
    whole, rest = epoch(stream, 4), epoch(stream, 4, start=4)
    assert len(stream) == len(whole) == 6
    assert len(rest) == 2
    for batch, again in zip(whole[4:], rest, strict=True):
        assert torch.equal(batch.inputs["image"], again.inputs["image"])
        assert torch.equal(batch.target, again.target)
    assert epoch(stream, 4, start=6) == []


def test_processes_share_each_global_batch(make_folder, open_):
    folder = make_folder(train=20, test=5)
    alone = epoch(open_(folder, batch_size=8).train, 1)
    shares = [epoch(open_(folder, batch_size=4, world=2, rank=rank).train, 1) for rank in (0, 1)]
    assert [len(share) for share in shares] == [len(alone)] * 2
    for batch, *parts in zip(alone, *shares, strict=True):
        assert sorted(indices([batch])) == sorted(indices(parts))
    tests = [indices(open_(folder, world=4, rank=rank).test) for rank in range(4)]
    assert sorted(row for part in tests for row in part) == list(range(15))
    assert [len(part) for part in tests] == [4, 4, 4, 3]


def test_every_process_evaluates_as_many_batches(make_folder, open_):
    """So that networks can compute together in all of them."""
    folder = make_folder(train=4, test=3)
    tests = [open_(folder, batch_size=4, world=2, rank=rank).test for rank in (0, 1)]
    assert [[len(batch) for batch in test] for test in tests] == [[4, 1], [3, 1]]
    assert [len(test) for test in tests] == [2, 2]
    assert sorted(row for test in tests for row in indices(test)) == list(range(9))
    assert [len(batch) for batch in open_(folder, batch_size=3).test] == [3, 3, 3]


def test_more_processes_than_test_images(make_folder, open_):
    data = open_(make_folder(train=20, test=1), world=5, rank=4)
    assert len(data.test) == 0
    assert list(data.test) == []


def test_a_set_smaller_than_a_batch_is_one_batch(make_folder, open_):
    folder = make_folder(train=3, test=1)
    assert [len(batch) for batch in open_(folder, val_fraction=0, batch_size=50).train] == [9]
    assert [len(batch) for batch in open_(folder, val_fraction=0, batch_size=50, world=2).train] == [4]
    with pytest.raises(KdzooError, match="9 training images are too few for 10 processes"):
        open_(folder, val_fraction=0, world=10)


def test_each_training_sample_comes_once(make_folder, open_):
    rows = indices(open_(make_folder(train=20, test=2), batch_size=6, val_fraction=0).train)
    assert len(rows) == len(set(rows)) == 60


def test_withheld_labels(make_folder, open_):
    data = open_(make_folder(train=20, test=2), labels_per_class=0)
    assert all((batch.target == UNLABELLED).all() for batch in data.train)
    assert all((batch.target >= 0).all() for split in (data.val, data.test) for batch in split)
    some = open_(make_folder(train=20, test=2), labels_per_class=4, batch_size=54)
    (batch,) = some.train
    assert (batch.target != UNLABELLED).sum() == 12
    assert some.hash != data.hash
    assert some.content_hash == data.content_hash


@pytest.mark.parametrize("mixed", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
@pytest.mark.parametrize("batch_size", [8, 7])
def test_mixing_is_replayable_and_leaves_the_global_generators_alone(make_folder, open_, mixed, batch_size):
    folder = make_folder(train=20, test=2)
    stream = open_(folder, augment=mixed, batch_size=batch_size).train
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    once, again = epoch(stream, 1), epoch(stream, 1)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    for batch, same in zip(once, again, strict=True):
        assert batch.target.shape == (batch_size, 3)
        torch.testing.assert_close(batch.target.sum(1), torch.ones(batch_size))
        assert torch.equal(batch.target, same.target)
        assert torch.equal(batch.inputs["image"], same.inputs["image"])
    plain = epoch(open_(folder, augment={}, batch_size=batch_size).train, 1)
    assert indices(plain) == indices(once)
    assert any(
        not torch.equal(a.inputs["image"], b.inputs["image"]) for a, b in zip(plain, once, strict=True)
    )


@pytest.mark.parametrize("labels", [0, 4])
def test_pictures_without_labels_are_mixed_too(make_folder, open_, labels):
    folder = make_folder(train=20, test=2)
    data = open_(folder, augment={"mixup": 1.0}, labels_per_class=labels)
    plain = open_(folder, augment={}, labels_per_class=labels)
    seen = 0
    for batch, other in zip(epoch(data.train), epoch(plain.train), strict=True):
        assert torch.equal(batch.index, other.index)
        assert not torch.equal(batch.inputs["image"], other.inputs["image"])
        assert batch.target.shape == ((8, 3) if labels else (8,))
        seen += int(batch.labelled.sum())
        assert batch.labelled.sum() <= other.labelled.sum()
    assert (seen > 0) == (labels > 0)
    assert torch.equal(data.fetch(batch.index).target, data.labels[batch.index])


def test_contiguous_images_on_request(make_folder, tmp_path):
    from kdzoo.data.open import open_data
    from kdzoo.recipe.data import DataConfig

    data = open_data(
        DataConfig(data_dir=make_folder(train=5, test=2)), seed=0, device=torch.device("cpu"),
        channels_last=False, cache_dir=tmp_path / "cache",
    )  # fmt: skip
    assert all(batch.inputs["image"].is_contiguous() for split in (data.train, data.test) for batch in split)


def test_default_augmentation(make_folder, open_):
    photographs, scans = open_(make_folder(size=32, train=5, test=2)).augment, open_().augment
    assert (photographs.crop, photographs.hflip) == (4, 0.5)
    assert (scans.crop, scans.hflip) == (2, 0.0)


@pytest.mark.parametrize(("world", "sizes"), [(1, [8, 8, 8, 6]), (2, [8, 7]), (3, [8, 2]), (4, [7])])
def test_the_rest_of_an_epoch_can_be_a_smaller_batch(world, sizes, open_):
    given = {"dataset": "digits", "train_per_class": 3, "val_fraction": 0.1, "drop_last": False}
    shares = [open_(**given, rank=rank, world=world).train for rank in range(world)]
    batches = [list(share) for share in shares]
    assert [[len(one.index) for one in own] for own in batches] == [sizes] * world
    assert [len(share) for share in shares] == [len(sizes)] * world
    seen = [index for own in batches for one in own for index in one.index.tolist()]
    assert len(set(seen)) == len(seen) == sum(sizes) * world
    usual = [one.index.tolist() for one in open_(**{**given, "drop_last": True}).train]
    if world == 1:
        assert [one.index.tolist() for one in batches[0]][:3] == usual
