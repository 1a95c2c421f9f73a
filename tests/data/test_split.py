from itertools import pairwise

import numpy as np
import pytest
import torch

from kdzoo.api import UNLABELLED
from kdzoo.data.split import divide, take

TARGETS = np.repeat([0, 1, 2], [40, 20, 1])


def rows(split):
    return set(split.index.tolist())


def labelled(split):
    return set(split.index[split.target != UNLABELLED].tolist())


def test_validation_is_cut_stratified_and_by_its_seed_alone():
    train, val = divide(TARGETS, (), 0, 0.1)
    assert torch.bincount(val.target).tolist() == [4, 2]  # the only sample of a class is trained on
    assert torch.bincount(train.target).tolist() == [36, 18, 1]
    assert rows(train) | rows(val) == set(range(61))
    assert rows(divide(TARGETS, (), 0, 0.1)[1]) == rows(val)
    assert rows(divide(TARGETS, (), 1, 0.1)[1]) != rows(val)


def test_no_validation_if_none_is_asked_for():
    train, val = divide(TARGETS, (), 0, 0.0)
    assert val is None
    assert len(train) == 61


@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_subsets_are_nested_and_leave_validation_alone(fraction):
    sizes = [2, 5, 10, 30]
    pairs = [divide(TARGETS, (), 0, fraction, size) for size in sizes]
    for (small, _), (large, _) in pairwise(pairs):
        assert rows(small) < rows(large)
    assert torch.bincount(pairs[1][0].target).tolist() == [5, 5, 1]
    if fraction:
        _, val = divide(TARGETS, (), 0, fraction)
        for size, (train, less) in zip(sizes, pairs, strict=True):
            assert rows(less) <= rows(val)
            assert not rows(train) & rows(val)
            assert torch.bincount(less.target)[0] == round(size / 3)


def test_labels_are_nested_and_the_samples_stay():
    splits = [divide(TARGETS, (), 0, 0.1, labels_per_class=n)[0] for n in (0, 1, 5, 18, None)]
    assert labelled(splits[0]) == set()
    assert all(rows(split) == rows(splits[0]) for split in splits)
    for small, large in pairwise(splits):
        assert labelled(small) < labelled(large)
    five = splits[2]
    assert torch.bincount(five.target[five.target >= 0]).tolist() == [5, 5, 1]
    truth = torch.as_tensor(TARGETS)[five.index]
    assert torch.equal(five.target[five.target >= 0], truth[five.target >= 0])


def test_labelled_samples_are_among_the_smaller_training_sets():
    small, _ = divide(TARGETS, (), 0, 0.1, train_per_class=6)
    few, _ = divide(TARGETS, (), 0, 0.1, labels_per_class=3)
    assert labelled(few) < rows(small)


def test_bad_samples_are_nowhere():
    bad = {0, 1, 41}
    train, val = divide(TARGETS, bad, 0, 0.5)
    assert not (rows(train) | rows(val)) & bad
    assert len(train) + len(val) == 58


def test_part_of_a_split_in_its_order():
    some = take(TARGETS, (), 0, 7)
    assert torch.bincount(some.target).tolist() == [7, 7, 1]
    assert torch.equal(some.index, some.index.sort().values)
    assert rows(some) < rows(take(TARGETS, (), 0, 8))
    assert len(take(TARGETS, (), 0)) == 61
