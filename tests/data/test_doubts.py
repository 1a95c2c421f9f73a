"""Warnings before anything is decoded: files that are there twice, classes of very different size."""

import shutil

import numpy as np
import pytest

from kdzoo.data.duplicates import duplicates
from kdzoo.data.folder import scan
from kdzoo.data.imbalance import imbalance
from kdzoo.recipe.data import DataConfig


@pytest.fixture
def told(open_):
    """The warnings about a data set."""

    def ask(folder, **settings):
        messages = []
        open_(folder, warn=messages.append, **settings)
        return messages

    return ask


def test_a_folder_without_doubts_has_no_warning(make_folder, told):
    assert told(make_folder(train=8, val=2, test=4)) == []


def test_test_images_that_are_in_train_are_counted_with_two_examples(make_folder, told):
    folder = make_folder(train=8, test=4)
    for number in range(3):
        shutil.copy(
            folder / "train" / "cat" / f"00{number}.png", folder / "test" / "cat" / f"again{number}.png"
        )
    assert told(folder) == [
        f"3 test images are in train too, byte for byte, so that accuracies are too high: "
        f"{folder}/test/cat/again0.png is {folder}/train/cat/000.png, "
        f"{folder}/test/cat/again1.png is {folder}/train/cat/001.png"
    ]


def test_a_link_to_a_file_of_another_split_is_the_same_file(make_folder, told):
    folder = make_folder(train=8, test=4)
    (folder / "test" / "cat" / "link.png").symlink_to(folder / "train" / "cat" / "000.png")
    assert told(folder)[0].startswith("1 test image is in train too, byte for byte")


def test_every_pair_of_splits_is_compared(make_folder, told):
    folder = make_folder(train=8, val=2, test=4)
    shutil.copy(folder / "train" / "cat" / "000.png", folder / "val" / "cat" / "a.png")
    shutil.copy(folder / "val" / "dog" / "000.png", folder / "test" / "dog" / "b.png")
    said = told(folder)
    assert [message.split(",")[0] for message in said] == [
        "1 val image is in train too",
        "1 test image is in val too",
    ]


def test_one_content_with_two_labels(make_folder, told):
    folder = make_folder(train=8, val=2, test=4)
    shutil.copy(folder / "train" / "cat" / "000.png", folder / "train" / "owl" / "a.png")
    (said,) = told(folder)
    assert said == (
        f"1 image is there with more than one label: {folder}/train/cat/000.png (cat), "
        f"{folder}/train/owl/a.png (owl)"
    )


def test_copies_within_train_matter_where_validation_is_cut_from_it(make_folder, told):
    folder = make_folder(train=8, val=2, test=4)
    for name in ("a", "b"):
        shutil.copy(folder / "train" / "cat" / "000.png", folder / "train" / "cat" / f"{name}.png")
    assert told(folder) == []
    shutil.rmtree(folder / "val")
    (said,) = told(folder)
    assert said.startswith(
        "2 training images are copies of others, and validation, which is cut from train, may"
    )


def test_equal_sizes_and_equal_middles_are_no_duplicates(make_folder, told):
    folder = make_folder(train=4, test=4)
    content = (folder / "train" / "cat" / "000.png").read_bytes()
    for number, split in enumerate(("train", "test")):
        (folder / split / "cat" / "x.png").write_bytes(content + b"x" * 2000 + bytes([number]))
    assert told(folder) == []


def test_of_a_large_set_a_sample_of_the_held_out_files_is_looked_for(make_folder):
    folder = make_folder(train=8, test=4)
    shutil.copy(folder / "train" / "cat" / "000.png", folder / "test" / "cat" / "again.png")
    source = scan(folder, DataConfig(data_dir=folder))
    (said,) = duplicates(source, most=5)
    assert said.startswith("1 test image of 13 held-out images that were looked at is in train too")


def test_they_are_told_once_for_data_sets_that_share_what_they_found(make_folder, tmp_path):
    import torch

    from kdzoo.data.once import Once
    from kdzoo.data.open import open_data

    folder, once, said = make_folder(train=8, test=4), Once(), []
    shutil.copy(folder / "train" / "cat" / "000.png", folder / "test" / "cat" / "again.png")
    for size in (4, 8):
        config = DataConfig(data_dir=folder, batch_size=size)
        open_data(
            config, seed=0, device=torch.device("cpu"), cache_dir=tmp_path / "c", warn=said.append, once=once
        )
    assert len(said) == 1


def test_a_large_folder_is_looked_into_once(make_folder, told, tmp_path):
    folder = make_folder(train=2, test=2)
    for number in range(5000):  # unreadable files count as well
        (folder / "train" / "cat" / f"{number}.jpg").write_bytes(b"%5d" % number)
    shutil.copy(folder / "train" / "dog" / "000.png", folder / "test" / "dog" / "again.png")
    settings = {"bad_images": 1, "sampling": "balanced"}
    (said,) = told(folder, **settings)
    (kept,) = (tmp_path / "cache").glob("duplicates-*.json")
    kept.write_text(kept.read_text().replace("1 test image", "one test image"))
    assert told(folder, **settings) == [said.replace("1 test image", "one test image")]
    kept.write_text("{}")
    assert told(folder, **settings) == [said]


def test_strong_imbalance_is_told_with_its_numbers(make_folder, told):
    folder = make_folder(train=2, test=1)
    content = (folder / "train" / "owl" / "000.png").read_bytes()
    for number in range(19):
        (folder / "train" / "owl" / f"x{number}.png").write_bytes(content + bytes([number]))
    (said,) = told(folder)
    assert said == (
        "train is unbalanced: 21 images of owl, 2 of cat (10 times); --class-weights balanced or --sampling balanced "
        "may help"
    )
    assert told(folder, class_weights="balanced") == told(folder, sampling="balanced") == []


@pytest.mark.parametrize(("counts", "number"), [((10, 1), 0), ((11, 1), 1), ((11, 0, 2), 0), ((), 0)])
def test_the_limit_of_imbalance(counts, number):
    targets = np.repeat(np.arange(len(counts)), counts)
    assert len(imbalance(np.append(targets, -1), "abc")) == number
