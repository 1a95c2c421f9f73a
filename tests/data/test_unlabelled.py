"""Pictures without classes."""

import shutil

import pytest
from PIL import Image

from kdzoo.api import UNLABELLED, KdzooError


@pytest.fixture
def flat(make_folder, tmp_path):
    """30 pictures in one folder."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for name in ("cat", "dog", "owl"):
        for file in (make_folder(train=10) / "train" / name).iterdir():
            shutil.copy(file, folder / f"{name}{file.name}")
    return folder


def targets(data):
    return {target for batch in (*data.train, *data.test) for target in batch.target.tolist()}


def test_a_flat_folder_has_no_classes_and_a_seeded_part_is_tested_on(flat, open_, colours):
    data = open_(flat, augment={}, batch_size=1)
    assert (data.classes, data.unlabelled, data.val, targets(data)) == ((), True, None, {UNLABELLED})
    assert (len(data.train.split), len(data.test.split)) == (24, 6)
    assert len({*colours(data.train), *colours(data.test)}) == 30
    assert data.notes == (
        f"{flat}: no class sub-folders, so its pictures have no label",
        f"{flat} has no train/ and test/: data.test_fraction 0.2 of the images is the test split, chosen by "
        "data.split_seed 0",
        f"{flat}: pictures without classes; images: train 24, test 6",
    )
    assert open_(flat, split_seed=1).hash != data.hash


def test_a_flat_train_folder(flat, open_):
    whole = flat.parent / "whole"
    shutil.copytree(flat, whole / "train")
    data = open_(whole)
    assert (data.classes, len(data.train.split), len(data.test.split)) == ((), 24, 6)
    shutil.copytree(flat, whole / "test")
    data = open_(whole)
    assert (data.classes, data.val, len(data.train.split), len(data.test.split)) == ((), None, 30, 30)


@pytest.mark.parametrize("cache_gb", [4, 0])
def test_any_tree_is_taken_without_its_classes(make_folder, open_, cache_gb):
    folder = make_folder(train=10, test=4)
    Image.new("RGB", (8, 8)).save(folder / "train" / "stray.png")
    data = open_(folder, unlabelled=True, cache_gb=cache_gb, workers=0)
    assert (data.classes, len(data.train.split), targets(data)) == ((), 31, {UNLABELLED})


def test_pictures_without_labels_beside_a_test_split_with_classes(flat, make_folder, open_):
    folder = make_folder(test=4)
    shutil.rmtree(folder / "train")
    shutil.copytree(flat, folder / "train")
    data = open_(folder)
    assert (data.classes, data.unlabelled) == (("cat", "dog", "owl"), True)
    assert {target for batch in data.train for target in batch.target.tolist()} == {UNLABELLED}
    assert data.test.split.target.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert data.content_hash != open_(folder, unlabelled=True).content_hash


def test_pictures_beside_class_folders_are_refused_with_the_way_out(make_folder, open_):
    folder = make_folder(train=2, test=2)
    Image.new("RGB", (8, 8)).save(folder / "test" / "stray.png")
    with pytest.raises(
        KdzooError, match=r"stray\.png lies outside any class sub-folder.*data\.unlabelled takes"
    ):
        open_(folder)


def test_pairs_of_a_flat_folder(flat, open_, tmp_path):
    shutil.copytree(flat, tmp_path / "heat")
    data = open_(flat, paired={"heat": tmp_path / "heat"}, augment={})
    for batch in data.train:
        assert bool((batch.inputs["image"] == batch.inputs["heat"]).all())


def test_what_is_for_folders_is_refused_elsewhere(open_):
    with pytest.raises(KdzooError, match=r"data\.unlabelled is for image folders.*'digits' takes none"):
        open_(unlabelled=True)


class TestMissingClasses:
    def test_are_accepted_and_named(self, make_folder, open_):
        folder = make_folder(train=4, val=2, test=2)
        shutil.rmtree(folder / "test" / "owl")
        shutil.rmtree(folder / "train" / "cat")
        with pytest.raises(KdzooError, match=r"or data\.allow_missing"):
            open_(folder)
        data = open_(folder, allow_missing=True)
        assert data.classes == ("cat", "dog", "owl")
        assert sorted(data.train.split.target.tolist()) == [1] * 4 + [2] * 4
        assert data.test.split.target.tolist() == [0, 0, 1, 1]
        assert f"{folder}: test has no image of 1 of 3 classes: owl" in data.notes
        assert f"{folder}: train has no image of 1 of 3 classes: cat" in data.notes
