import os
import shutil

import numpy as np
import pytest
from PIL import Image

from kdzoo.api import KdzooError
from kdzoo.data.decode import fit
from kdzoo.recipe.augment import AugmentConfig


def reds(colours, stream):
    return {red for red, _, _ in colours(stream)}


def test_three_splits(make_folder, open_, colours):
    data = open_(make_folder(train=6, val=3, test=4), augment={})
    assert [len(stream.split) for stream in (data.train, data.val, data.test)] == [18, 9, 12]
    assert [reds(colours, stream) for stream in (data.train, data.val, data.test)] == [{40}, {80}, {120}]
    assert data.notes == (f"{make_folder()}: 3 classes (cat, dog, owl); images: train 18, val 9, test 12",)


def test_validation_is_another_name_for_val(make_folder, open_):
    assert len(open_(make_folder(train=6, validation=3, test=4)).val.split) == 9


def test_a_missing_validation_split_comes_from_train_never_from_test(make_folder, open_, colours):
    data = open_(make_folder(train=20, test=4), augment={}, batch_size=1)
    assert reds(colours, data.val) == reds(colours, data.train) == {40}
    assert len(data.val.split) == 6
    assert not set(colours(data.val)) & set(colours(data.train))
    assert len(set(colours(data.test))) == 12
    assert open_(make_folder(train=20, test=4), val_fraction=0).val is None


def test_without_test_the_validation_folder_is_tested_on(make_folder, open_, colours):
    data = open_(make_folder(train=20, val=4), augment={})
    assert reds(colours, data.test) == {80}
    assert reds(colours, data.val) == {40}
    assert "val/ is the test split" in data.notes[0]


def test_subsets(make_folder, open_, colours):
    folder = make_folder(train=20, test=9)
    small, large = (
        open_(folder, train_per_class=n, test_per_class=n, augment={}, batch_size=1) for n in (3, 5)
    )
    for split in ("train", "val", "test"):
        assert set(colours(getattr(small, split))) <= set(colours(getattr(large, split)))
    assert (len(small.train), len(small.test), len(large.train), len(large.test)) == (9, 9, 15, 15)
    assert set(colours(small.train)) != set(colours(open_(folder, train_per_class=3, split_seed=1).train))


def test_classes_are_in_timms_order_and_hidden_folders_are_none(make_folder, open_):
    folder = make_folder(train=2, test=2, classes=("b10", "b9", "A", ".ipynb_checkpoints"))
    shutil.copy(folder / "train" / "A" / "000.png", folder / "train" / "A" / "._000.png")
    data = open_(folder, val_fraction=0)
    assert data.classes == ("A", "b9", "b10")
    assert len(data.train.split) == 6


def test_default_size(make_folder, open_):
    folder = make_folder(size=12, train=3, test=2)
    assert open_(folder).img_size == 12
    assert open_(folder, img_size=20).img_size == 20
    Image.new("RGB", (12, 13)).save(folder / "test" / "cat" / "odd.png")
    assert open_(folder).img_size == 224


def test_hash_follows_content_split_and_subset(make_folder, open_, tmp_path):
    folder = make_folder(train=10, test=3)
    moved = shutil.copytree(folder, tmp_path / "moved")
    reference = open_(folder)
    assert open_(moved).hash == reference.hash
    assert open_(moved, seed=5, batch_size=3, augment={"crop": 1}).hash == reference.hash
    different = [
        open_(folder, split_seed=1),
        open_(folder, val_fraction=0.2),
        open_(folder, test_per_class=2),
        open_(folder, img_size=9),
    ]
    Image.new("RGB", (8, 8), (1, 2, 3)).save(moved / "train" / "cat" / "000.png")
    different.append(open_(moved))
    assert len({data.hash for data in [reference, *different]}) == 6
    assert len({data.content_hash for data in [reference, *different]}) == 6


def test_a_file_s_name_may_be_no_text(make_folder, open_):
    folder = make_folder(train=2, test=1)
    victim = folder / "train" / "cat" / os.fsdecode(b"\xff.png")
    Image.new("RGB", (8, 8)).save(victim)
    assert len(open_(folder, val_fraction=0).train.split) == 7
    victim.write_bytes(b"no image")
    for _ in range(2):
        data = open_(folder, val_fraction=0, bad_images=0.2)
        assert (data.skipped, len(data.train.split)) == ((str(victim),), 6)


def test_every_suffix_of_photographs_is_read(make_folder, open_):
    folder = make_folder(train=1, test=1, classes=["one", "two"])
    for suffix in ("jfif", "jpe", "JPG", "jp2", "tga", "apng", "txt", "pfm", "pdf"):
        name = "JPEG" if suffix in ("txt", "pfm", "pdf") else None
        Image.new("RGB", (8, 8)).save(folder / "train" / "one" / f"a.{suffix}", name)
    data = open_(folder, val_fraction=0)
    assert sorted(data.names)[:-1] == [
        f"one/{name}" for name in ("000.png", "a.JPG", "a.apng", "a.jfif", "a.jp2", "a.jpe", "a.tga")
    ]
    said = f"{folder}/train: 3 files left out by suffix: "
    assert [sorted(note.removeprefix(said).split(", ")) for note in data.notes if note.startswith(said)] == [
        ["1 .pdf", "1 .pfm", "1 .txt"]
    ]


def gradient(width, height):
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([across * 2, down * 2, np.zeros_like(across)], -1).astype(np.uint8)


def test_the_right_size_is_left_as_it_is():
    pixels = gradient(20, 20)
    assert np.array_equal(fit(Image.fromarray(pixels), 20), pixels)


@pytest.mark.parametrize(("width", "height"), [(80, 40), (40, 80)])
def test_the_centre_is_cut_out(width, height):
    red, green, _ = fit(Image.fromarray(gradient(width, height)), 40).astype(int).transpose(2, 0, 1)
    assert abs(red[0, 0] - (width - 40)) <= 1
    assert abs(green[0, 0] - (height - 40)) <= 1
    assert abs(red[0, -1] - red[0, 0] - 78) <= 1


def test_large_photographs_are_reduced_not_aliased(tmp_path):
    pixels = np.zeros((512, 512, 3), np.uint8)
    pixels[:, 256:] = 200
    Image.fromarray(pixels).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        small = fit(image, 32).astype(int)
    assert small.shape == (32, 32, 3)
    assert abs(small[:, :14]).max() <= 3
    assert abs(small[:, 18:] - 200).max() <= 3


def test_the_camera_s_orientation_is_undone(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the top of the scene is at the left of the file
    Image.fromarray(pixels).rotate(90).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        assert fit(image, 16)[2, :, 0].mean() > 250


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(mode, tmp_path):
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 4), 65535, np.uint16))
    else:
        image = Image.new("RGB", (4, 4), "white").convert(mode)
    if mode == "P":
        image.info["transparency"] = b"\xff\x00"
    suffix = "tif" if mode == "CMYK" else "png"
    image.save(tmp_path / f"a.{suffix}")
    with Image.open(tmp_path / f"a.{suffix}") as image:
        assert np.array_equal(fit(image, 4), np.full((4, 4, 3), 255))
    dark = Image.fromarray(np.full((4, 4), 25700, np.uint16))
    assert fit(dark, 4).max() == 100


def stored(tmp_path, name, image, **options):
    image.save(tmp_path / name, **options)
    with Image.open(tmp_path / name) as read:
        return fit(read, 4)


def test_more_than_eight_bits_keep_their_brightness(tmp_path):
    halves = np.full((4, 4), 0.5, np.float32)
    assert set(stored(tmp_path, "a.tif", Image.fromarray(halves)).flat) == {128}
    sixteen = np.full((4, 4), 25700, ">u2")
    (tmp_path / "b.pgm").write_bytes(b"P5 4 4 65535\n" + sixteen.tobytes())
    with Image.open(tmp_path / "b.pgm") as image:
        assert set(fit(image, 4).flat) == {100}


@pytest.mark.parametrize("value", [np.float32(200), np.float32("nan"), np.float32(-0.5), np.int32(70000)])
def test_numbers_without_a_known_white_are_refused(value, tmp_path):
    with pytest.raises(ValueError, match="nothing says which is white"):
        stored(tmp_path, "a.tif", Image.fromarray(np.full((4, 4), value)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode, tmp_path):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((10, 10, 10, 255), (0, 0, 2, 4))
    pixels = stored(tmp_path, "a.png", image.convert(mode))
    assert pixels[:, :2].max() <= 12
    assert set(pixels[:, 2:].flat) == {255}


def test_an_animation_is_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    pixels = stored(tmp_path, "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert pixels[0, 0].tolist() == [255, 0, 0]


def test_one_key_of_the_augmentation_leaves_the_defaults_of_the_others(make_folder, open_):
    folder = make_folder(size=16, train=4, test=2)
    data = open_(folder, augment={"color": 0.4})
    assert (data.augment.color, data.augment.crop, data.augment.hflip) == (0.4, 2, 0.5)
    assert open_(folder, augment={"hflip": 0}).augment == AugmentConfig(crop=2, hflip=0)
    assert open_(folder, augment={"scale": [0.5, 1]}).augment == AugmentConfig(scale=(0.5, 1), hflip=0.5)
    assert open_(folder, augment={}).augment == AugmentConfig()
    given = AugmentConfig(color=0.4)
    assert AugmentConfig.model_validate(given.model_dump()).model_fields_set == {"color"}


def test_an_epoch_of_few_steps_is_told(make_folder, open_):
    folder = make_folder(train=30, test=1)
    said = "90 training images at data.batch_size 64 are 1 step an epoch; a smaller batch"
    assert open_(folder, val_fraction=0, batch_size=64).notes[-1].startswith(said)
    assert "steps an epoch" not in open_(folder, val_fraction=0, batch_size=8).notes[-1]


class TestRefused:
    def test_missing_folder(self, tmp_path, open_):
        with pytest.raises(KdzooError, match=r"nowhere does not exist; accepted: a folder with train/"):
            open_(tmp_path / "nowhere")

    def test_a_file(self, tmp_path, open_):
        (tmp_path / "images.tar").write_text("")
        with pytest.raises(KdzooError, match=r"images\.tar is not a folder"):
            open_(tmp_path / "images.tar")

    @pytest.mark.parametrize(("split", "said"), [("train", "neither test/ nor val/"), ("test", "no train/")])
    def test_missing_split(self, split, said, make_folder, open_):
        with pytest.raises(KdzooError, match=said):
            open_(make_folder(**{split: 2}))

    def test_both_names_of_validation(self, make_folder, open_):
        with pytest.raises(KdzooError, match="both val/ and validation/"):
            open_(make_folder(train=2, val=2, validation=2))

    def test_no_images(self, make_folder, open_):
        folder = make_folder(train=1, test=1)
        for image in (folder / "train").rglob("*.png"):
            image.unlink()
        with pytest.raises(KdzooError, match=r"no images below .*train; accepted: .*\.jpg"):
            open_(folder)

    def test_no_class_folders(self, make_folder, open_):
        folder = make_folder(train=1, test=1)
        (folder / "train" / "cat" / "000.png").rename(folder / "train" / "stray.png")
        with pytest.raises(KdzooError, match=r"stray\.png lies outside any class sub-folder"):
            open_(folder)

    def test_classes_differ(self, make_folder, open_):
        folder = make_folder(train=2, val=2, test=2)
        (folder / "test" / "owl").rename(folder / "test" / "eel")
        with pytest.raises(KdzooError, match=r"test lacks owl and adds eel; accepted: the same class"):
            open_(folder)

    def test_digits_with_a_folder(self, make_folder, open_):
        with pytest.raises(KdzooError, match="digits are embedded"):
            open_(make_folder(train=2, test=2), dataset="digits")

    def test_folder_without_a_folder(self, open_):
        with pytest.raises(KdzooError, match=r"needs data\.data_dir: a folder with train/"):
            open_(dataset="folder")


class TestUnreadable:
    @pytest.fixture
    def broken(self, make_folder):
        folder = make_folder(size=64, train=25, test=5, suffix="jpg")
        pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        victim = folder / "train" / "dog" / "007.jpg"
        Image.fromarray(pixels).save(victim)
        victim.write_bytes(victim.read_bytes()[:2000])
        (folder / "train" / "cat" / "003.jpg").write_bytes(b"")
        (folder / "test" / "owl" / "002.jpg").write_text("no image at all")
        (folder / "test" / "owl" / "004.jpg").unlink()
        (folder / "test" / "owl" / "004.jpg").symlink_to("nowhere.jpg")
        return folder

    @pytest.mark.parametrize("cache_gb", [4, 0])
    def test_named_and_skipped_within_the_tolerance(self, broken, open_, cache_gb):
        data = open_(broken, bad_images=0.2, val_fraction=0.2, cache_gb=cache_gb, workers=0, img_size=64)
        seen = [row for split in (data.train, data.val) for batch in split for row in batch.index.tolist()]
        tested = [row for batch in data.test for row in batch.index.tolist()]
        assert {str(broken / name) for name in ("test/owl/002.jpg", "test/owl/004.jpg")} < set(data.skipped)
        assert len(data.skipped) == len(set(data.skipped)) <= 4
        assert not {3, 25 + 7} & set(seen)
        assert tested == [row for row in range(15) if row not in (10 + 2, 10 + 4)]

    def test_all_are_named_when_decoded_at_once(self, broken, open_):
        for _ in range(2):  # from the files and from the cache
            data = open_(broken, bad_images=0.2)
            assert [name.removeprefix(f"{broken}/") for name in data.skipped] == [
                "train/cat/003.jpg",
                "train/dog/007.jpg",
                "test/owl/002.jpg",
                "test/owl/004.jpg",
            ]

    @pytest.mark.parametrize("cache_gb", [4, 0])
    def test_refused_beyond_the_tolerance(self, broken, open_, cache_gb, tmp_path):
        def train():
            config = {"workers": 0, "img_size": 64, "val_fraction": 0, "batch_size": 75, "bad_images": 0}
            list(open_(broken, cache_gb=cache_gb, **config).train)

        with pytest.raises(KdzooError, match=r"\d of \d+ images of the split t.*00\d\.jpg.*Error"):
            train()
        assert not list(tmp_path.glob("cache/*.npy")) + list(tmp_path.glob("cache/*.part"))

    def test_refused_from_the_cache_too(self, broken, open_):
        open_(broken, bad_images=0.2)
        with pytest.raises(KdzooError, match=r"more than data\.bad_images = 0\.01"):
            open_(broken)
