import importlib.util
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import IterableImageDataset
from timm.data.readers.reader import Reader

from kdzoo.api import KdzooError
from kdzoo.data.timm_listing import drain


@pytest.fixture
def mnist(tmp_path):
    """Files as torchvision keeps them: 30 training and 10 test images of 28x28, each as bright as its number."""
    raw = tmp_path / "torch" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 30), ("t10k", 10)):
        pixels = np.repeat(np.arange(count, dtype=np.uint8), 784)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4i", 2051, count, 28, 28) + pixels.tobytes()
        )
        labels = np.arange(count, dtype=np.uint8) % 10
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())
    return tmp_path / "torch"


@pytest.mark.parametrize("cache_gb", [4, 0])
def test_a_torchvision_set(mnist, open_, cache_gb):
    data = open_(mnist, dataset="torch/mnist", augment={}, val_fraction=0.4, cache_gb=cache_gb, workers=0)
    assert (data.img_size, data.channels) == (28, {"image": 3})
    assert data.classes[0] == "0 - zero"
    assert [len(stream.split) for stream in (data.train, data.val, data.test)] == [20, 10, 10]
    for stream in (data.train, data.val, data.test):
        for batch in stream:
            assert torch.equal((batch.inputs["image"][:, 0, 0, 0] * 255).round().long(), batch.index)
            assert torch.equal(batch.target, batch.index % 10)


def test_its_cache_follows_its_files(mnist, open_):
    seen = []
    for _ in range(2):
        open_(mnist, dataset="torch/mnist", progress=lambda label, done, total: seen.append(label))
    assert seen == ["decoding train", "decoding test"]
    (mnist / "dangling").symlink_to("nowhere")
    images = mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1] + b"\xff")
    open_(mnist, dataset="torch/mnist", progress=lambda label, done, total: seen.append(label))
    assert len(seen) > 2


class Three(Reader):
    """A reader without random access, as of tar shards."""

    def __iter__(self):
        for number in range(3):
            yield Image.new("RGB", (10, 10), (number, 0, 0)), number % 2


def test_what_is_only_a_stream_is_read_once():
    listing = drain("shards train", IterableImageDataset(None, reader=Three()), None, 1e6)
    assert listing.images.shape == (3, 10, 10, 3)
    assert listing.images[:, 5, 5, 0].tolist() == [0, 1, 2]
    assert listing.targets.tolist() == [0, 1, 0]


def test_a_stream_that_is_too_long():
    with pytest.raises(KdzooError, match=r"shards train decodes to more than data\.cache_gb = 7e-07"):
        drain("shards train", IterableImageDataset(None, reader=Three()), None, 700)


@pytest.mark.parametrize("name", ["cifar10", "torch/cifar11", "hfds/", "imagenette"])
def test_unknown_names(name, open_):
    with pytest.raises(KdzooError, match=f"unknown data set '{name}'"):
        open_(dataset=name)


def test_near_names_are_offered(open_):
    with pytest.raises(KdzooError, match="did you mean torch/cifar10"):
        open_(dataset="torch/cifar11")


def test_not_there(tmp_path, open_):
    with pytest.raises(KdzooError, match=f"cannot open the split 'train' of 'torch/cifar10' .*{tmp_path}"):
        open_(tmp_path, dataset="torch/cifar10")
    with pytest.raises(KdzooError, match="needs data_dir"):
        open_(dataset="torch/cifar10")


@pytest.mark.skipif(
    importlib.util.find_spec("datasets") is not None, reason="the package datasets is installed"
)
def test_a_missing_package(open_, capsys):
    with pytest.raises(KdzooError, match="needs the package datasets: pip install datasets"):
        open_(dataset="hfds/cifar10")
    assert capsys.readouterr() == ("", "")
