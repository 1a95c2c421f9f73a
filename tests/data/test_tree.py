"""What counts as a class and as an image in folders as people have them."""

import shutil

import pytest
from PIL import Image

from kdzoo.api import KdzooError


def put(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / name)
    return folder


def nested(folder):
    names = [f"{name}/{year}/{n}.png" for name in ("A", "B") for year in (2022, 2023) for n in range(2)]
    return put(folder, *(f"{split}/{name}" for split in ("train", "test") for name in names))


def test_the_class_is_the_first_folder(tmp_path, open_):
    data = open_(nested(tmp_path / "images"), val_fraction=0)
    assert data.classes == ("A", "B")
    assert data.train.split.target.tolist() == [0] * 4 + [1] * 4
    assert any("such as A/2022, are none (data.class_depth 2 makes them classes)" in n for n in data.notes)


def test_class_depth_takes_more_folders_and_keeps_equal_names_apart(tmp_path, open_):
    data = open_(nested(tmp_path / "images"), val_fraction=0, class_depth=2)
    assert data.classes == ("A/2022", "A/2023", "B/2022", "B/2023")
    assert data.train.split.target.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    put(tmp_path / "images", "train/A/stray.png")
    with pytest.raises(KdzooError, match=r"A/stray\.png lies outside data\.class_depth = 2 sub-folders"):
        open_(tmp_path / "images", class_depth=2)


def test_one_class_is_refused(make_folder, open_):
    with pytest.raises(KdzooError, match=r"train has the one class images \(3 images\).*data\.class_depth"):
        open_(make_folder(train=3, test=1, classes=["images"]))


def test_images_beside_masks_are_no_classes(make_folder, open_):
    with pytest.raises(KdzooError, match=r"holds images, masks: images beside their annotations"):
        open_(make_folder(train=3, test=1, classes=["images", "masks"]))


def test_images_beside_labels_are_no_classes(make_folder, open_):
    folder = make_folder(train=3, test=1, classes=["images"])
    (folder / "train" / "labels").mkdir()
    (folder / "train" / "labels" / "000.txt").write_text("0 0 0 1 1")
    with pytest.raises(KdzooError, match=r"train/labels holds no image that can be read \(1 \.txt\)"):
        open_(folder)


def test_a_class_that_would_vanish_is_named(make_folder, open_):
    folder = make_folder(train=3, test=1)
    for split in ("train", "test"):
        for file in (folder / split / "owl").iterdir():
            file.rename(file.with_suffix(".heic"))
    with pytest.raises(
        KdzooError, match=r"train/owl holds no image that can be read \(3 \.heic\), so its class"
    ):
        open_(folder)


@pytest.mark.parametrize("target", ["train", ".", "train/cat", ".."])
def test_a_link_to_a_folder_above_is_not_followed(target, make_folder, open_):
    folder = make_folder(train=3, test=1)
    (folder / "train" / "cat" / "loop").symlink_to((folder / target).resolve())
    data = open_(folder, val_fraction=0)
    assert len(data.train.split) == 9
    assert f"{folder}/train: 1 link left out, to what is there already: cat/loop" in data.notes


def test_each_file_counts_once_within_a_split(make_folder, open_, tmp_path):
    folder = make_folder(train=3, test=1)
    train = folder / "train"
    (train / "cat" / "000a.png").symlink_to(train / "cat" / "000.png")
    other = put(tmp_path / "other", "x.png", "y.png")
    (train / "dog" / "more").symlink_to(other)
    (train / "owl" / "y.png").symlink_to(other / "y.png")
    (train / "owl" / "z.png").symlink_to(other / "y.png")
    data = open_(folder, val_fraction=0)
    assert len(data.train.split) == 9 + 2
    assert {"dog/more/x.png", "cat/000.png"} < set(data.names)
    assert "cat/000a.png" not in data.names


def test_a_class_may_be_a_link_and_not_twice(make_folder, open_, tmp_path):
    folder = make_folder(train=3, test=1)
    plain = open_(folder).hash
    shutil.move(folder / "train" / "cat", tmp_path / "elsewhere")
    (folder / "train" / "cat").symlink_to(tmp_path / "elsewhere")
    assert open_(folder).hash == plain
    (folder / "train" / "cats").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KdzooError, match=r"cats is a link to what is there already, so the class cats would"):
        open_(folder)


@pytest.mark.parametrize("name", ["validation", "valid", "dev"])
def test_other_names_of_validation(name, make_folder, open_, colours):
    folder = make_folder(train=6, val=3, test=4)
    (folder / "val").rename(folder / name)
    assert {red for red, _, _ in colours(open_(folder, augment={}).val)} == {80}


def test_a_folder_that_is_no_split_is_named(make_folder, open_):
    folder = make_folder(train=6, test=4)
    (folder / "extra").mkdir()
    note = f"{folder}: extra/ ignored; the splits are train/, test/"
    assert note in open_(folder).notes


class TestWithoutSplits:
    @pytest.fixture
    def folder(self, make_folder):
        return make_folder(train=10, test=1) / "train"

    def test_a_seeded_part_of_each_class_is_the_test_split(self, folder, open_, colours):
        data = open_(folder, augment={}, val_fraction=0, batch_size=1)
        test, train = colours(data.test), colours(data.train)
        assert [[green for _, green, _ in test].count(60 * number) for number in range(3)] == [2, 2, 2]
        assert len(train) == 24
        assert len({*train, *test}) == 30
        assert data.notes[-2:] == (
            f"{folder} has no train/ and test/: data.test_fraction 0.2 of each class is the test split, chosen by "
            "data.split_seed 0",
            f"{folder}: 3 classes (cat, dog, owl); images: train 24, test 6",
        )
        assert open_(folder, val_fraction=0).hash == data.hash

    def test_fraction_and_seed(self, folder, open_):
        data = open_(folder, test_fraction=0.5)
        assert len(data.test.split) == 15
        assert set(data.names) != set(open_(folder, test_fraction=0.5, split_seed=1).names)

    def test_a_class_of_one_image_cannot_be_split(self, folder, open_):
        put(folder, "zebra/0.png")
        with pytest.raises(
            KdzooError, match=r"class zebra has one image; a split into train and test needs two"
        ):
            open_(folder)


def test_a_split_may_have_one_class_where_classes_may_be_missing(make_folder, open_):
    folder = make_folder(train=3, test=1, classes=["cat", "dog"])
    for file in (folder / "test" / "dog").iterdir():
        file.unlink()
    (folder / "test" / "dog").rmdir()
    with pytest.raises(KdzooError, match=r"test lacks dog; .*data\.allow_missing"):
        open_(folder)
    data = open_(folder, allow_missing=True)
    assert data.classes == ("cat", "dog")
    assert data.test.split.target.tolist() == [0]
    assert any("test has no image of 1 of 2 classes: dog" in note for note in data.notes)
