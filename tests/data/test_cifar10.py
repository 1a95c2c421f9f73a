"""Real photographs, where the archive is at hand."""

import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import torch

ARCHIVE = os.environ.get("KDZOO_TEST_CIFAR10")
PER_CLASS = 20


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory):
    if not ARCHIVE:
        pytest.skip("KDZOO_TEST_CIFAR10 does not name the archive of CIFAR-10 as JPEG files")
    place, taken = tmp_path_factory.mktemp("cifar10"), Counter()
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            folder = str(Path(member.name).parent)
            if member.isfile() and taken[folder] < PER_CLASS:
                taken[folder] += 1
                file = archive.extractfile(member)
                assert file is not None
                target = place / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read())
    return next(place.rglob("train")).parent


def test_opened_as_a_folder(cifar10, open_):
    data = open_(cifar10, batch_size=32)
    assert (data.img_size, len(data.classes), data.skipped) == (32, 10, ())
    assert [len(stream.split) for stream in (data.train, data.val, data.test)] == [180, 20, 200]
    mean = torch.cat([batch.inputs["image"] for batch in data.test]).mean((0, 2, 3))
    torch.testing.assert_close(mean, torch.tensor([0.491, 0.482, 0.447]), atol=0.05, rtol=0)  # published


def test_streamed_alike(cifar10, open_):
    decoded, streamed = (open_(cifar10, batch_size=64, cache_gb=gb, workers=1) for gb in (4, 0))
    for batch, same in zip(decoded.train, streamed.train, strict=True):
        assert torch.equal(batch.index, same.index)
        assert torch.equal(batch.inputs["image"], same.inputs["image"])
