"""Pictures for a network in use are found, decoded as in training, and never all in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdzoo.data.form import Evaluated
from kdzoo.errors import Damaged
from kdzoo.recipe.evaluation import Evaluation
from kdzoo.use.decoding import batched, from_file, in_threads
from kdzoo.use.description import Description, Preprocessing
from kdzoo.use.pictures import find_pictures

HOW = {"crop_pct": 0.9, "interpolation": "bilinear", "crop_mode": "center"}


def preprocessing(channels: int, **how: object) -> Preprocessing:
    return Preprocessing(input_size=(channels, 32, 32), mean=(0.5,) * channels, std=(0.2,) * channels, **how)


@pytest.mark.parametrize(
    "how", [HOW, {**HOW, "crop_mode": "squash"}, {"crop_pct": 1.0, "interpolation": "bicubic"}]
)
def test_pictures_are_decoded_as_in_training(pictures, how):
    training = Evaluated(32, Evaluation(**how))
    for path in pictures:
        with Image.open(path) as image:
            expected = training(image)
        found = from_file(preprocessing(3, **how))(str(path))
        assert isinstance(found, np.ndarray), (path, found)
        assert (found == expected).all(), path


def test_a_network_of_one_channel_sees_the_luma(pictures):
    grey = next(path for path in pictures if path.name == "grey.png")
    three, one = (from_file(preprocessing(channels, **HOW))(str(grey)) for channels in (3, 1))
    assert one.shape == (32, 32, 1)
    assert (three == one).all()


def test_no_more_than_two_batches_are_in_memory():
    taken = []

    def numbers():
        for number in range(40):
            taken.append(number)
            yield number

    done = 0
    for items, made in in_threads(batched(numbers(), 4), lambda number: -number):
        assert made == [-number for number in items]
        done += len(items)
        assert len(taken) <= done + 4
    assert done == 40


def test_hidden_files_and_other_files_of_a_folder_are_left_out(tmp_path: Path):
    for name in ("b/2.png", "b/10.png", "a.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [Path(one.name).relative_to(tmp_path).as_posix() for one in find_pictures([str(tmp_path)])]
    assert found == ["a.jpg", "b/2.png", "b/10.png"]
    assert [one.name for one in find_pictures([str(tmp_path / "notes.txt")])] == [str(tmp_path / "notes.txt")]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path):
    name = tmp_path / "shot[1].png"
    name.write_bytes(b"")
    assert [(one.name, one.problem) for one in find_pictures([str(name)])] == [(str(name), "")]


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("{", "Invalid JSON"),
        ('{"architecture": "x"}', "preprocessing: Field required"),
        (
            '{"architecture": "x", "preprocessing": {"input_size": [3, 0, 8], "mean": [0, 0, 0], "std": [1, 1, 1]}}',
            "input_size",
        ),
        (
            '{"architecture": "x", "preprocessing": {"input_size": [3, 8, 8], "mean": [0], "std": [1]}}',
            "a number for each channel",
        ),
    ],
)
def test_a_description_is_checked(told, says):
    with pytest.raises(Damaged, match=says):
        Description.parse(told, "x.onnx")
