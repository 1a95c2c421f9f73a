"""Data sets that plugins bring: the same streams, cache, subsets and hashes as of the built-in ones."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import Field

from kdzoo.api import DataSource, Samples
from kdzoo.errors import KdzooError, UnknownName

COUNT = {"train": 12, "val": 6, "test": 6}


def pixels(split, side=8, channels=3):
    """(n, side, side, channels); image i is of class i % 3, and its colour says which it is."""
    images = np.zeros((COUNT[split], side, side, channels), np.uint8)
    for row, image in enumerate(images):
        image[:] = (40 * list(COUNT).index(split) + 40, 60 * (row % 3), row)[:channels]
    return images


def encoded(array, tmp, name):
    file = tmp / f"{name}.png"
    Image.fromarray(array).save(file)
    return file


class Colours(DataSource):
    """Flat colours, in any of the forms that images may have."""

    name = "colours"
    mirror = False

    def __init__(
        self,
        data_dir: Path | None = None,
        form: Literal["array", "arrays", "pillow", "bytes", "files", "pairs", "grey"] = "array",
        side: Annotated[int, Field(gt=0)] = 8,
        shift: int = 0,
        named: bool = False,
        splits: Literal["train+val+test", "train+test", "train+val"] = "train+test",
    ) -> None:
        self.classes = ["cat", "dog", "owl"]
        self.data_dir, self.form, self.side, self.shift, self.named = data_dir, form, side, shift, named
        self.splits = splits.split("+")
        self.asked = []

    def split(self, name):
        self.asked.append(name)
        if name not in self.splits:
            return None
        images = pixels(name, self.side, 1 if self.form == "grey" else 3) + np.uint8(self.shift)
        labels = [row % 3 for row in range(len(images))]
        names = [f"{name}-{row}" for row in range(len(images))] if self.named else None
        match self.form:
            case "array" | "grey":
                return Samples(images, labels, names)
            case "pairs":
                return Samples.of(list(zip(images, labels, strict=True)), names)
            case "pillow":
                forms = [Image.fromarray(one) for one in images]
            case "arrays":
                forms = list(images)
            case "files" | "bytes":
                (self.data_dir / name).mkdir(exist_ok=True)
                forms = [encoded(one, self.data_dir / name, f"{row:02}") for row, one in enumerate(images)]
                if self.form == "bytes":
                    forms = [file.read_bytes() for file in forms]
        return Samples(forms, labels, names)


HOOK = """
from kdzoo.api import hookimpl


@hookimpl
def kdzoo_datasets():
    return {names!r}
"""


@pytest.fixture
def colours_plugin(install, monkeypatch):
    monkeypatch.setitem(sys.modules, "colours_module", type(sys)("colours_module"))
    sys.modules["colours_module"].Colours = Colours
    install("kdzoo-colours", HOOK.format(names={"colours": "colours_module:Colours"}))


@pytest.fixture
def opened(colours_plugin, open_, tmp_path):
    def call(dataset="colours", data_dir=None, **given):
        options = {name: given.pop(name) for name in list(given) if name in Colours.__init__.__annotations__}
        if options.get("form") in ("files", "bytes"):
            data_dir = tmp_path / "colours"
            data_dir.mkdir(exist_ok=True)
        return open_(data_dir, dataset=dataset, options=options, **given)

    return call


FORMS = ["array", "arrays", "pillow", "bytes", "files", "pairs"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images(form, opened, colours):
    data = opened(form=form, val_fraction=0)
    assert data.classes == ("cat", "dog", "owl")
    assert (data.img_size, data.channels) == (8, {"image": 3})
    assert colours(data.test) == [(120, 60 * (row % 3), row) for row in range(6)]
    seen = sorted((*batch.index.tolist(), *batch.target.tolist()) for batch in [data.fetch(torch.arange(3))])
    assert seen == [(0, 1, 2, 0, 1, 2)]


@pytest.mark.parametrize("form", FORMS)
def test_the_hash_is_that_of_the_content(form, opened):
    one = opened(form=form).content_hash
    assert one == opened(form=form).content_hash
    assert one == opened(form=form, named=True).content_hash  # the same pixels
    assert one != opened(form=form, shift=1).content_hash


def test_of_a_set_that_streams_too(opened):
    first = opened(form="arrays", cache_gb=0)
    assert first.content_hash == opened(form="arrays", cache_gb=0).content_hash
    assert first.content_hash != opened(form="arrays", cache_gb=0, shift=1).content_hash


def test_a_set_that_streams_gives_the_same_batches(opened, colours):
    streamed, kept = (opened(form="arrays", cache_gb=room, workers=0) for room in (0, 4))
    assert colours(streamed.test) == colours(kept.test)


def test_what_is_decoded_is_found_again_unless_it_changed(opened):
    told = []
    tell = lambda *facts: told.append(facts)  # noqa: E731
    opened(form="bytes", progress=tell)
    decoded = len(told)
    assert decoded > 0
    opened(form="bytes", progress=tell)
    assert len(told) == decoded
    changed = opened(form="bytes", shift=1, progress=tell, val_fraction=0)
    assert len(told) == 2 * decoded
    assert changed.fetch(torch.tensor([0]), view=None).inputs["image"][0, 0, 0, 0] == 41 / 255


def test_a_grey_array_keeps_its_channel_and_is_resized(opened):
    data = opened(form="grey", img_size=16)
    assert (data.img_size, data.channels) == (16, {"image": 1})
    assert next(iter(data.test)).inputs["image"].shape == (6, 1, 16, 16)
    assert next(iter(data.test)).inputs["image"].unique() == 120 / 255


def test_names_are_the_plugin_s_or_the_files(opened):
    assert opened(named=True).names[:2] == ("train-0", "train-1")
    assert opened(form="files").names[:2] == ("train/00.png", "train/01.png")
    assert (
        opened(form="array").names[:2]
        == opened(form="pillow").names[:2]
        == (
            "colours train 0",
            "colours train 1",
        )
    )


def test_subsets_and_augmentation_are_as_for_any_set(opened):
    data = opened(train_per_class=2, labels_per_class=1, test_per_class=1)
    assert len(data.train.split) == 6
    assert (data.labels >= 0).sum() == 3
    assert len(data.test.split) == 3
    assert (data.augment.crop, data.augment.hflip) == (1, 0.0)  # mirror is False


def test_a_validation_split_of_its_own(opened, colours):
    data = opened(splits="train+val+test")
    assert len(colours(data.val)) == 6
    assert len(data.train.split) == 12
    assert not data.notes


def test_without_a_test_split_the_validation_split_is_tested_on(opened, colours):
    data = opened(splits="train+val")
    assert {red for red, _, _ in colours(data.test)} == {80}
    assert len(data.val.split) == 3
    assert data.notes == (
        "colours has no test split: its validation split is the test split, validation is cut from train",
    )


@pytest.mark.parametrize("form", ["array", "arrays"])
def test_training_images_that_are_withheld_are_not_asked_for(form, opened, monkeypatch):
    asked = []
    own = Colours.split

    class Watched(Colours):
        def split(self, name):
            asked.append(name)
            return own(self, name)

    sys.modules["colours_module"].Colours = Watched
    data = opened(form=form, withhold_train=True)
    assert asked == ["val", "test"]
    assert data.channels == {"image": 3}
    with pytest.raises(KdzooError, match="withhold_train"):
        _ = data.train


def test_a_plugin_s_set_needs_no_folder_and_a_folder_that_it_takes_is_given(opened, tmp_path):
    class Nowhere(DataSource):
        name = "colours"

        def __init__(self, size: int = 3) -> None:
            self.classes = ["a"]

        def split(self, name): ...

    class Somewhere(Nowhere):
        def __init__(self, data_dir: Path) -> None:
            raise KdzooError(f"{data_dir.name} holds nothing")

    sys.modules["colours_module"].Colours = Nowhere
    with pytest.raises(KdzooError, match=r"data\.data_dir .*: the data set 'colours' takes no folder"):
        opened(data_dir=tmp_path)
    sys.modules["colours_module"].Colours = Somewhere
    with pytest.raises(KdzooError, match=r"^data set 'colours' needs data\.data_dir$"):
        opened()
    says = r"^data set 'colours' \(Somewhere of kdzoo-colours 1\.2\.3\): here holds nothing$"
    with pytest.raises(KdzooError, match=says):
        opened(data_dir=tmp_path / "here")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sise": 3}, "unknown hyper-parameter 'sise' of dataset 'colours'; did you mean side"),
        ({"side": -1}, r"data\.options\.side \(colours\): Input should be greater than 0, not -1"),
        ({"form": "jpeg"}, r"data\.options\.form \(colours\): Input should be 'array', "),
        ({"data_dir": "x"}, r"data\.options\.data_dir: set data\.data_dir"),
    ],
)
def test_bad_options_are_refused(options, says, colours_plugin, open_):
    with pytest.raises(KdzooError, match=says):
        open_(dataset="colours", options=options)


def test_sets_of_the_core_take_none(open_):
    with pytest.raises(
        KdzooError, match=r"data\.options are for data sets of plugins and of timm; 'digits' takes none"
    ):
        open_(options={"side": 3})


def test_an_unknown_set_has_near_names_of_plugins(opened, install):
    with pytest.raises(UnknownName, match="unknown data set 'colors'; did you mean colours"):
        opened("colors")
    install("kdzoo-lame", "import nothing_of_this_name")
    with pytest.raises(UnknownName, match=r"plugins that do not load: kdzoo-lame \(import failed"):
        opened("colors")


def returns(answer):
    def split(self, name):
        return answer() if name == "train" else Samples(pixels(name), [0] * COUNT[name])

    return split


GOOD = pixels("train")
ZEROS = [0] * 12


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda: 3, r"split\('train'\) must return kdzoo\.api\.Samples or None, not int"),
        (lambda: None, r"split\('train'\) returned None, and there must be a training split"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: Samples(GOOD, ZEROS[1:]), r"split\('train'\) has 12 images and 11 labels"),
        (lambda: Samples(GOOD[:0], []), r"split\('train'\) has no samples"),
        (lambda: Samples(GOOD, [7] * 12), r"split\('train'\): labels from 7 to 7, and 3 classes have 0 to 2"),
        (lambda: Samples(GOOD, [0.5] * 12), r"split\('train'\): labels must be whole numbers"),
        (lambda: Samples(GOOD, ZEROS, ["a"] * 12), "names must be one for each image, all different"),
        (lambda: Samples(GOOD.astype(float), ZEROS), r"uint8, not float64 \(12, 8, 8, 3\)"),
        (lambda: Samples([object()] * 12, ZEROS), "TypeError: an image is a path, bytes, .* not object"),
    ],
)
def test_what_a_source_must_not_return_is_one_line_that_names_it(answer, says, opened):
    sys.modules["colours_module"].Colours = type("Odd", (Colours,), {"split": returns(answer)})
    with pytest.raises(
        KdzooError, match=rf"^data set 'colours' \(Odd of kdzoo-colours 1\.2\.3\): .*{says}"
    ) as error:
        opened()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("classes", ["abc", [], ["a", "a"], [1, 2], None])
def test_classes_are_checked(classes, opened):
    class Odd(Colours):
        def __init__(self) -> None:
            self.classes = classes

    sys.modules["colours_module"].Colours = Odd
    with pytest.raises(KdzooError, match=r"\(Odd of kdzoo-colours 1\.2\.3\): classes must be "):
        opened()


def test_an_image_that_cannot_be_read_is_left_out_as_in_a_folder(opened, tmp_path):
    class Lame(Colours):
        def split(self, name):
            given = super().split(name)
            if name == "train":
                given.images[3] = b"no image"
            return given

    sys.modules["colours_module"].Colours = Lame
    data = opened(form="bytes", bad_images=0.1)
    assert data.skipped == ("colours train 3",)
    with pytest.raises(KdzooError, match=r"1 of 12 images of the split train cannot be read"):
        opened(form="bytes", bad_images=0.0)
