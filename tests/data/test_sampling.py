"""Epochs in which every class comes equally often."""

import pytest
import torch

from kdzoo.api import KdzooError
from kdzoo.data.sampling import balanced

TARGET = torch.tensor([0] * 60 + [1] * 7 + [2] * 3)
INDEX = torch.arange(70) * 3


def test_classes_differ_by_one_sample_at_most():
    order, copies = balanced(TARGET, INDEX, 0, 0)
    assert sorted(TARGET[order].bincount().tolist()) == [23, 23, 24]
    assert len(copies) == 70
    pairs = set(zip(order.tolist(), copies.tolist(), strict=True))
    assert len(pairs) == 70  # no sample has the same copy twice
    times = order.bincount(minlength=70)
    assert times[:60].max() == 1
    assert (times[60:67] >= 3).all()
    assert (times[67:] >= 7).all()


def test_it_is_a_function_of_seed_and_epoch():
    first = balanced(TARGET, INDEX, 0, 0)
    assert all(torch.equal(one, two) for one, two in zip(first, balanced(TARGET, INDEX, 0, 0), strict=True))
    assert not torch.equal(first[0], balanced(TARGET, INDEX, 0, 1)[0])
    assert not torch.equal(first[0], balanced(TARGET, INDEX, 1, 0)[0])


def test_over_many_epochs_every_sample_of_a_class_comes_equally_often():
    times = torch.stack([balanced(TARGET, INDEX, 5, epoch)[0].bincount(minlength=70) for epoch in range(600)])
    mean = times.double().mean(dim=0)
    for number, count in enumerate((60, 7, 3)):
        expected = 70 / 3 / count
        assert (mean[number == TARGET] / expected - 1).abs().max() < 0.2
    assert mean.sum() == 70


def test_classes_are_mixed_within_an_epoch():
    halves = [balanced(TARGET, INDEX, 0, epoch)[0][:35] for epoch in range(100)]
    share = torch.stack([TARGET[half].bincount(minlength=3) for half in halves]).double().mean(dim=0) / 35
    assert (share - 1 / 3).abs().max() < 0.03


@pytest.fixture
def uneven(make_folder):
    folder = make_folder(size=16, train=2, test=2)
    content = (folder / "train" / "owl" / "000.png").read_bytes()
    for number in range(26):
        (folder / "train" / "owl" / f"x{number}.png").write_bytes(content + bytes([number]))
    return folder


@pytest.mark.parametrize("cache_gb", [4, 0])
def test_a_sample_that_comes_again_is_varied_otherwise(uneven, open_, cache_gb):
    data = open_(uneven, sampling="balanced", val_fraction=0, workers=0, cache_gb=cache_gb, batch_size=32)
    assert len(data.train) == 1
    (batch,) = data.train
    assert sorted(batch.target.bincount().tolist()) == [10, 11, 11]
    images = batch.inputs["image"][batch.index == 0]
    assert len(images) >= 5
    assert len({tuple(image.flatten().tolist()) for image in images}) > 1
    data.train.set_epoch(0)
    (again,) = data.train
    assert torch.equal(again.inputs["image"], batch.inputs["image"])


def test_processes_share_a_balanced_epoch(uneven, open_):
    settings = {"sampling": "balanced", "val_fraction": 0, "augment": {}}
    whole = [batch.index for batch in open_(uneven, **settings, batch_size=8).train]
    parts = [open_(uneven, **settings, batch_size=4, rank=rank, world=2).train for rank in (0, 1)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert torch.equal(batch, torch.cat([share.index for share in shares]))


def test_it_needs_labels(uneven, open_):
    with pytest.raises(KdzooError, match=r"data\.sampling balanced needs the label of every training image"):
        open_(uneven, sampling="balanced", labels_per_class=1)
