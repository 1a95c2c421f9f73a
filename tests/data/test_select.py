"""A part of the training split, as tasks and memories use it."""

import pytest
import torch

from kdzoo.api import KdzooError


def rows_of(stream) -> list[int]:
    return torch.cat([batch.index for batch in stream]).tolist()


def test_a_part_holds_its_own_samples_and_no_other(open_):
    data = open_(train_per_class=8, batch_size=4)
    wanted = torch.nonzero(data.labels == 3).flatten()
    part = data.select(wanted)
    assert sorted(rows_of(part)) == sorted(wanted.tolist())
    assert len(part) == 2
    assert all(bool((batch.target == 3).all()) for batch in part)
    assert len(rows_of(data.train)) == 80, "the whole is as it was"


def test_a_part_is_varied_and_shuffled_as_the_whole(open_):
    data = open_(train_per_class=8, batch_size=4, augment={"crop": 2})
    wanted = torch.nonzero((data.labels == 0) | (data.labels == 1)).flatten()
    part = data.select(wanted)
    for epoch in (0, 5):
        part.set_epoch(epoch)
        data.train.set_epoch(epoch)
        whole = rows_of(data.train)
        assert rows_of(part) == [row for row in whole if row in set(wanted.tolist())]
        batch = next(iter(part))
        assert torch.equal(batch.inputs["image"], data.fetch(batch.index).inputs["image"])
    part.set_epoch(5, start=3)
    assert rows_of(part) == [row for row in whole if row in set(wanted.tolist())][12:]


def test_a_part_smaller_than_a_batch_is_one_batch(open_):
    data = open_(train_per_class=8, batch_size=64)
    part = data.select(torch.nonzero(data.labels == 7).flatten()[:3])
    assert [len(batch) for batch in part] == [3]


@pytest.mark.parametrize("rows", [[], [10**6], [-1]], ids=["none", "beyond", "synthetic"])
def test_rows_that_are_not_there_are_refused(open_, rows):
    data = open_(train_per_class=2)
    with pytest.raises(KdzooError, match="not all of them of the training split"):
        data.select(torch.tensor(rows, dtype=torch.int64))


def test_images_can_be_had_as_they_are(open_):
    data = open_(train_per_class=4, augment={"crop": 4})
    rows = next(iter(data.train)).index
    plain = data.fetch(rows, view=None).inputs["image"]
    data.train.set_epoch(1)
    assert torch.equal(plain, data.fetch(rows, view=None).inputs["image"]), "whatever the epoch"
    bare = open_(train_per_class=4, augment={})
    assert torch.equal(plain, bare.fetch(rows).inputs["image"])
