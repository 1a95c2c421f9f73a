"""Tar shards in webdataset's layout."""

import io
import json
import tarfile

import pytest
from PIL import Image

from kdzoo.api import KdzooError


def write(shard, *files):
    """A tar of these files: (name, bytes)."""
    with tarfile.open(shard, "w") as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def sample(name, label, red):
    """The files of a sample: an image of one colour, its label and something else."""
    image = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(image, "PNG")
    labels = [] if label is None else [(f"{name}.cls", label)]
    return [(f"{name}.png", image.getvalue()), *labels, (f"{name}.json", b'{"note": 1}')]


@pytest.fixture
def root(tmp_path):
    """20 training samples in two shards and 6 test samples; the label is that of the number."""
    folder = tmp_path / "shards"
    folder.mkdir()
    train = [sample(f"{n:03}", str(n % 2).encode(), n) for n in range(20)]
    test = [sample(f"a/{n:03}", str(n % 2).encode(), 100 + n) for n in range(6)]
    shards = {"set-train-0000": train[:12], "set-train-0001": train[12:], "set-test-0000": test}
    for name, samples in shards.items():
        write(folder / f"{name}.tar", *(file for files in samples for file in files))
    return folder


def reds(batch):
    return (batch.inputs["image"][:, 0, 0, 0] * 255).round().long().tolist()


@pytest.mark.parametrize("cache_gb", [4, 0])
def test_they_are_read_without_webdataset_decoded_or_streamed(root, open_, cache_gb):
    data = open_(root, dataset="wds/set", augment={}, val_fraction=0, cache_gb=cache_gb, workers=0)
    assert (data.classes, data.img_size, len(data.train.split)) == (("0", "1"), 8, 20)
    for batch in data.train:
        assert reds(batch) == batch.index.tolist()
        assert batch.target.tolist() == [number % 2 for number in reds(batch)]
    (batch,) = data.test
    assert reds(batch) == [100, 101, 102, 103, 104, 105]
    assert data.names[12] == "set-train-0001.tar/012"


def test_the_cache_follows_the_files(root, open_):
    seen = []

    def opened():
        open_(root, dataset="wds/set", progress=lambda label, done, total: seen.append(label))

    opened()
    opened()
    assert seen == ["decoding train", "decoding test"]
    write(root / "set-test-0000.tar", *sample("000", b"1", 7), *sample("001", b"0", 7))
    opened()
    assert seen[2:] == ["decoding test"]


def test_names_of_classes_and_samples_without_a_label(tmp_path, open_):
    samples = [sample(str(n), label, n) for n, label in enumerate([b"owl", b"cat10", b"cat9", None])]
    write(tmp_path / "train-0.tar", *(file for files in samples for file in files))
    write(tmp_path / "val-0.tar", *(file for files in samples[:3] for file in files))
    data = open_(tmp_path, dataset="wds/set", val_fraction=0)
    assert data.classes == ("cat9", "cat10", "owl")
    assert data.train.split.target.tolist() == [2, 1, 0, -1]
    assert "has no labelled test split: its validation split is the test split" in data.notes[0]


def test_a_label_in_json(tmp_path, open_):
    for split in ("train", "test"):
        files = [sample(str(n), None, n)[0] for n in range(2)]
        labels = [(f"{n}.json", json.dumps({"label": n}).encode()) for n in range(2)]
        write(tmp_path / f"{split}.tar", files[0], labels[0], files[1], labels[1])
    assert open_(tmp_path, dataset="wds/set", val_fraction=0).train.split.target.tolist() == [0, 1]


def test_timm_s_description_names_the_shards(root, open_):
    for split, name in (("train-0000", "a"), ("train-0001", "b"), ("test-0000", "c")):
        (root / f"set-{split}.tar").rename(root / f"{name}.tar")
    splits = {"train": ["a.tar", "b.tar"], "validation": ["c.tar"]}
    described = {"splits": {name: {"name": name, "filenames": files} for name, files in splits.items()}}
    (root / "_info.json").write_text(json.dumps(described))
    data = open_(root, dataset="wds/set", val_fraction=0)
    assert (len(data.train.split), len(data.test.split)) == (20, 6)
    (root / "b.tar").unlink()
    with pytest.raises(KdzooError, match=r"_info\.json names shards that are not there: .*b\.tar; accepted"):
        open_(root, dataset="wds/set")
    (root / "_info.json").write_text("{}")
    with pytest.raises(KdzooError, match=r"_info\.json is not timm's description of shards"):
        open_(root, dataset="wds/set")


def test_a_broken_image_is_left_out_and_a_broken_shard_is_one_line(root, open_):
    write(root / "set-train-0002.tar", ("x.jpg", b"no image"), ("x.cls", b"0"))
    data = open_(root, dataset="wds/set", bad_images=0.1)
    assert data.skipped == ("set-train-0002.tar/x",)
    (root / "set-train-0002.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(KdzooError, match=r"set-train-0002\.tar cannot be read as an uncompressed tar"):
        open_(root, dataset="wds/set")


def test_folders_without_shards_are_one_line(tmp_path, open_):
    with pytest.raises(KdzooError, match=r"has no _info\.json and no \.tar with train, val or test"):
        open_(tmp_path, dataset="wds/set")
    write(tmp_path / "test.tar", *sample("0", b"0", 0))
    with pytest.raises(KdzooError, match="has no shards of the split train"):
        open_(tmp_path, dataset="wds/set")
    with pytest.raises(KdzooError, match="is not a folder"):
        open_(tmp_path / "nowhere", dataset="wds/set")
