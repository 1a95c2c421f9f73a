"""Withheld training images are never opened."""

import shutil

import pytest

from kdzoo.api import KdzooError


def test_no_file_below_train_is_opened(make_folder, open_):
    where = make_folder(train=4, test=2)
    for image in (where / "train").rglob("*.png"):
        image.write_bytes(b"not an image")
    with pytest.raises(KdzooError, match="cannot be read"):
        open_(where)
    data = open_(where, withhold_train=True)
    assert sum(len(batch) for batch in data.test) == 6
    assert data.val is None
    assert data.classes == ("cat", "dog", "owl")
    assert not data.skipped


def test_train_may_be_missing(make_folder, open_):
    where = make_folder(train=4, test=2)
    with_train = open_(where, withhold_train=True)
    shutil.rmtree(where / "train")
    without = open_(where, withhold_train=True)
    assert with_train.hash == without.hash
    with pytest.raises(KdzooError, match="has no train/"):
        open_(where)


def test_a_validation_folder_serves_as_it_is(make_folder, open_):
    data = open_(make_folder(train=4, val=2, test=2), withhold_train=True)
    assert sum(len(batch) for batch in data.val) == 6


@pytest.mark.parametrize(
    "ask",
    [
        lambda data: data.train,
        lambda data: data.labels,
        lambda data: data.fetch(0),
        lambda data: data.select(0),
    ],
    ids=["train", "labels", "fetch", "select"],
)
def test_whoever_asks_for_them_is_told(open_, ask):
    data = open_(withhold_train=True)
    with pytest.raises(KdzooError, match=r"data\.withhold_train is on"):
        ask(data)


def test_the_embedded_digits_show_their_test_split_alone(open_):
    data = open_(withhold_train=True)
    assert sum(len(batch) for batch in data.test) == 540
