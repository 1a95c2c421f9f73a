import pytest
import torch

from kdzoo.api import UNLABELLED, KdzooError

EVERYTHING = {"crop": 1, "hflip": 0.5, "color": 0.3, "rotate": 10, "erase": 0.5}


@pytest.mark.parametrize("augment", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("folder", [False, True], ids=["digits", "folder"])
def test_view_0_is_what_the_epoch_trains_on(make_folder, open_, folder, augment):
    where = make_folder(size=12, train=20, test=2) if folder else None
    data = open_(where, augment=augment, **({} if folder else {"train_per_class": 5}))
    for epoch in (0, 3):
        data.train.set_epoch(epoch)
        for batch in list(data.train)[:2]:
            for rows in (batch.index, batch.index.flip(0)[:3]):
                found = data.fetch(rows)
                order = [batch.index.tolist().index(row) for row in rows.tolist()]
                assert torch.equal(found.inputs["image"], batch.inputs["image"][order])
                assert torch.equal(found.target, batch.target[order])
                assert torch.equal(found.index, rows)
                assert found.inputs["image"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("settings", [{}, {"views": 2}], ids=["new views", "repeated views"])
def test_the_views_of_another_epoch_are_recalled(open_, settings):
    data = open_(train_per_class=5, augment=EVERYTHING, **settings)
    seen = []
    for epoch in range(4):
        data.train.set_epoch(epoch)
        seen.append(next(iter(data.train)))
    now = data.train.epoch
    for epoch, batch in enumerate(seen):
        assert torch.equal(data.fetch(batch.index, epoch=epoch).inputs["image"], batch.inputs["image"])
    assert data.train.epoch == now, "the epoch that is trained stays"
    assert torch.equal(data.fetch(batch.index).inputs["image"], batch.inputs["image"])
    first, second = (data.fetch(batch.index, epoch=epoch).inputs["image"] for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_other_views_are_other_draws_of_the_same_samples(open_):
    data = open_(train_per_class=5, augment={"crop": 4})
    batch = next(iter(data.train))
    views = [data.fetch(batch.index, view) for view in range(4)]
    assert all(torch.equal(view.target, batch.target) for view in views)
    for one in range(4):
        assert torch.equal(views[one].inputs["image"], data.fetch(batch.index, one).inputs["image"]), (
            "a view can be had again"
        )
        for other in range(one):
            assert not torch.equal(views[one].inputs["image"], views[other].inputs["image"])
    data.train.set_epoch(1)
    for view in range(2):
        assert not torch.equal(data.fetch(batch.index, view).inputs["image"], views[view].inputs["image"])


def test_fetched_samples_keep_their_class_ids_where_batches_are_mixed(open_):
    data = open_(train_per_class=5, augment={"mixup": 0.8})
    plain = open_(train_per_class=5)  # with the default shift, which the one key of the other leaves on
    batch = next(iter(data.train))
    assert batch.target.ndim == 2
    found = data.fetch(batch.index)
    assert torch.equal(found.target, data.labels[batch.index])
    assert torch.equal(found.inputs["image"], plain.fetch(batch.index).inputs["image"])


def test_labels_are_those_that_training_shows(open_):
    data = open_(train_per_class=5, labels_per_class=2, val_fraction=0.2)
    assert data.labels.shape == (1257,) == (len(data.names),)
    assert data.labels.dtype == torch.int64
    shown = data.labels != UNLABELLED
    assert shown.sum() == 20
    assert torch.equal(data.labels[data.train.split.index], data.train.split.target)
    assert (data.labels[data.val.split.index] == UNLABELLED).all()
    assert data.labels[shown].bincount().tolist() == [2] * 10


def test_names_are_paths_below_the_split(make_folder, open_):
    data = open_(make_folder(train=3, test=1))
    assert data.names == tuple(f"{name}/{n:03}.png" for name in ("cat", "dog", "owl") for n in range(3))
    assert open_(train_per_class=5).names[7] == "digits train 7"


@pytest.mark.parametrize("row", [-1, 9999, "validation"])
def test_a_row_outside_the_training_split_is_refused(make_folder, open_, row):
    data = open_(make_folder(train=10, test=1))
    row = int(data.val.split.index[0]) if row == "validation" else row
    with pytest.raises(KdzooError, match=f"^{row} is not the index of a training sample$"):
        data.fetch(torch.tensor([int(data.train.split.index[0]), row]))


def test_a_set_that_streams_is_refused(make_folder, open_):
    data = open_(make_folder(train=10, test=1), cache_gb=0)
    with pytest.raises(KdzooError, match=r"split train streams from its files.*raise data\.cache_gb"):
        data.fetch(data.train.split.index[:2])
    assert len(data.labels) == len(data.names) == 30
