"""Which files are images, and what a person is told about them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from kdzoo.api import KdzooError
from kdzoo.data.formats import is_image


@pytest.fixture
def folder(make_folder):
    return make_folder(train=4, test=2)


def test_files_without_a_suffix_are_images_if_they_begin_like_one(folder, open_):
    train = folder / "train" / "cat"
    for number, kind in enumerate(("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")):
        Image.new("RGB", (8, 8)).save(train / f"{number}", kind)
    (train / "README").write_text("no image")
    (train / "empty").write_bytes(b"")
    data = open_(folder, val_fraction=0)
    assert len(data.train.split) == 12 + 6
    assert f"{folder}/train: 2 files left out by suffix: 2 without suffix" in data.notes


def test_suffixes_in_capitals(folder, open_):
    for number, suffix in enumerate(("JPG", "Jpeg", "PNG", "TIFF")):
        Image.new("RGB", (8, 8)).save(folder / "train" / "cat" / f"{number}.{suffix}")
    assert len(open_(folder, val_fraction=0).train.split) == 12 + 4


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif(folder, open_):
    Image.new("RGB", (8, 8), (200, 0, 0)).save(folder / "train" / "cat" / "a.avif", quality=100)
    data = open_(folder, val_fraction=0, augment={})
    (row,) = [row for row, name in enumerate(data.names) if name.endswith(".avif")]
    (image,) = data.fetch(data.train.split.index.new_tensor([row]), None).inputs["image"]
    assert abs(float(image[0, 4, 4]) - 200 / 255) < 0.05


@pytest.mark.skipif(is_image("a.heic"), reason="pillow-heif is installed")
def test_formats_that_need_a_plugin_of_pillow_name_it(folder, open_):
    for name in ("a.heic", "b.heic", "c.jxl"):
        (folder / "train" / "cat" / name).write_bytes(b"x")
    note = (
        f"{folder}/train: 3 files left out by suffix: 2 .heic, 1 .jxl (pip install pillow-heif reads .heic; "
        "pip install pillow-jxl-plugin reads .jxl)"
    )
    assert note in open_(folder).notes


@pytest.mark.skipif(not is_image("a.heic"), reason="pillow-heif is not installed")
def test_heic_with_its_plugin(folder, open_):
    Image.new("RGB", (64, 64), (200, 0, 0)).save(folder / "train" / "cat" / "a.heic")
    data = open_(folder, val_fraction=0, augment={}, img_size=8)
    (row,) = [row for row, name in enumerate(data.names) if name.endswith(".heic")]
    (image,) = data.fetch(data.train.split.index.new_tensor([row]), None).inputs["image"]
    assert abs(float(image[0, 4, 4]) - 200 / 255) < 0.05


def test_a_plugin_of_pillow_is_registered_when_it_is_installed(tmp_path):
    (tmp_path / "pillow_heif.py").write_text(
        "from PIL import Image\n"
        "def register_heif_opener():\n"
        "    Image.register_open('HEIF', None, lambda start: start == b'like a HEIC file')\n"
        "    Image.register_extensions('HEIF', ['.heic'])\n"
    )
    (tmp_path / "pillow_jxl.py").write_text(
        "from PIL import Image\nImage.register_extension('JXL', '.jxl')\n"
    )
    (tmp_path / "bare").write_bytes(b"like a HEIC file and more")
    files = "a.heic", "a.jxl", str(tmp_path / "bare")
    code = f"from kdzoo.data.formats import is_image; print(*map(is_image, {files}))"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert found.stdout.split() == ["True", "True", "True"]


def test_a_plugin_of_pillow_that_is_broken_is_passed_over(tmp_path):
    (tmp_path / "pillow_heif.py").write_text(
        "raise OSError('libheif.so.1: cannot open shared object file')\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    subprocess.run(
        [sys.executable, "-c", "import kdzoo.data.formats"],
        env=environment,
        check=True,
        cwd=Path(__file__).parents[2],
    )


def test_a_pipe_is_no_image(folder, open_):
    os.mkfifo(folder / "train" / "cat" / "pipe.png")
    os.mkfifo(folder / "train" / "cat" / "pipe")
    assert len(open_(folder, val_fraction=0).train.split) == 12


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "UnidentifiedImageError: cannot identify image file"),
        (b"no image", "UnidentifiedImageError: cannot identify image file"),
        (None, "image file is truncated"),
    ],
)
@pytest.mark.parametrize("cache_gb", [4, 0])
def test_a_bad_image_keeps_its_reason(folder, open_, content, reason, cache_gb):
    victim = folder / "test" / "cat" / "000.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(victim)
    victim.write_bytes(victim.read_bytes()[:2000] if content is None else content)
    for _ in range(2):  # from the file and from the cache
        data = open_(folder, bad_images=0.5, img_size=32, cache_gb=cache_gb, workers=0)
        list(data.test)
        (found,) = data.unreadable.values()
        assert reason in found
        assert str(victim) not in found
        assert data.skipped == (str(victim),)


def test_a_picture_beyond_pillow_s_limit_is_one_line(folder, open_):
    victim = folder / "train" / "cat" / "huge.png"
    Image.new("1", (20_000, 20_000)).save(victim)
    data = open_(folder, bad_images=0.5)
    (reason,) = data.unreadable.values()
    assert reason.startswith(
        "DecompressionBombError: Image size (400000000 pixels) exceeds limit of 178956970 pixels"
    )
    assert "\n" not in reason


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as kdzoo does outside of pytest
def test_a_large_picture_below_the_limit_is_decoded(folder, open_):
    Image.new("1", (10_000, 10_000)).save(folder / "train" / "cat" / "large.png")
    data = open_(folder, bad_images=0, val_fraction=0, img_size=8)
    assert (data.skipped, len(data.train.split)) == ((), 13)


def test_a_folder_without_images_says_what_is_there(tmp_path, open_):
    for name in ("a.heic", "b.txt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(KdzooError, match=r"no images below .* \(1 \.heic, 1 \.txt"):
        open_(tmp_path)


def test_transparent_pictures_and_animations_are_told(folder, open_):
    train = folder / "train" / "cat"
    for number in range(2):
        Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(train / f"clear{number}.png")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(train / "moving.gif", save_all=True, append_images=frames[1:])
    note = (
        "of 15 images looked at: 2 transparent ones, which become opaque on white; 1 animation, of which the first "
        "frame is taken"
    )
    assert note in open_(folder).notes
