"""Streamed data sets yield the same as decoded ones."""

import multiprocessing
import os
import signal

import pytest
import torch

from kdzoo.api import KdzooError
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo


def test_agrees_with_the_decoded_set(make_folder, open_, tmp_path):
    folder = make_folder(train=10, test=3)
    config = {"augment": {"crop": 1, "hflip": 0.5, "color": 0.2}, "labels_per_class": 3, "workers": 1}
    decoded, streamed = open_(folder, **config), open_(folder, **config, cache_gb=0)
    files = list((tmp_path / "cache").iterdir())
    for split in ("train", "val", "test"):
        here, there = getattr(decoded, split), getattr(streamed, split)
        assert len(here) == len(there)
        for number in (0, 3):
            here.set_epoch(number)
            there.set_epoch(number)
            for batch, same in zip(here, there, strict=True):
                assert torch.equal(batch.index, same.index)
                assert torch.equal(batch.target, same.target)
                assert torch.equal(batch.inputs["image"], same.inputs["image"])
    assert list((tmp_path / "cache").iterdir()) == files


def test_leaves_the_global_generator_alone(make_folder, open_):
    data = open_(make_folder(train=4, test=2), cache_gb=0, workers=1)
    before = torch.get_rng_state()
    list(data.test)
    assert torch.equal(before, torch.get_rng_state())


def test_a_resumed_epoch_decodes_only_what_is_left(make_folder, open_):
    folder = make_folder(train=8, test=2)
    data = open_(folder, cache_gb=0, workers=0, val_fraction=0)
    whole = [batch.index for batch in data.train]
    for row in torch.cat(whole[:2]).tolist():
        (folder / "train" / ("cat", "dog", "owl")[row // 8] / f"{row % 8:03}.png").unlink()
    data.train.set_epoch(0, start=2)
    (rest,) = data.train
    assert torch.equal(rest.index, whole[2])
    assert data.skipped == ()


def test_a_hash_without_decoding(make_folder, open_):
    folder = make_folder(train=4, test=2)
    first = open_(folder, cache_gb=0)
    assert open_(folder, cache_gb=0).hash == first.hash
    (folder / "train" / "owl" / "003.png").unlink()
    assert open_(folder, cache_gb=0).hash != first.hash


def test_an_unreadable_image_is_told_when_it_is_met_and_once(make_folder, open_):
    folder, told = make_folder(train=20, test=4), []
    victim = folder / "train" / "dog" / "002.png"
    victim.write_bytes(b"no image")
    data = open_(folder, cache_gb=0, workers=0, bad_images=0.2, val_fraction=0, warn=told.append)
    assert told == []
    for _ in range(2):
        list(data.train)
    (said,) = told
    assert said.startswith(f"{victim}: unreadable image, left out: UnidentifiedImageError: ")
    assert data.skipped == (str(victim),)


def test_unreadable_test_images_are_found_before_training(make_folder, open_):
    folder, told = make_folder(train=20, test=4, size=40, suffix="jpg"), []
    victim = folder / "test" / "dog" / "002.jpg"
    victim.write_bytes(victim.read_bytes()[:-30])  # its header is whole
    config = {"cache_gb": 0, "workers": 0, "warn": told.append}
    with pytest.raises(KdzooError, match=rf"1 of 12 images of the split test .*{victim.name}.*truncated"):
        open_(folder, **config)
    data = open_(folder, bad_images=0.2, **config)
    assert data.unreadable.keys() == {str(victim)}
    assert "truncated" in data.unreadable[str(victim)]
    assert sum(len(batch.index) for batch in data.test) == 11
    assert not any("left out" in one for one in told)  # it is among those that are known


def test_a_finished_training_is_not_lost_through_test_images(make_folder, open_):
    folder, told = make_folder(train=4, test=4), []
    data = open_(folder, cache_gb=0, workers=0, warn=told.append)
    for victim in sorted((folder / "test").glob("*/*.png"))[:-1]:
        victim.write_bytes(b"")  # after the data were opened
    (batch,) = data.test
    assert batch.index.tolist() == [11]
    assert len(told) == len(data.skipped) == 11


@pytest.mark.parametrize("cache_gb", [4, 0])
def test_an_unreadable_image_is_a_row_of_the_journal(make_folder, tmp_path, cache_gb):
    """The same whether it is met in decoding or while streaming."""
    folder = make_folder(size=32, train=8, test=4)
    victim = folder / "test" / "dog" / os.fsdecode(b"\xff.png")  # no text, as file names may be
    victim.write_bytes(b"")
    settings = {
        "data.data_dir": folder, "data.cache_gb": cache_gb, "data.workers": 0, "data.bad_images": 0.2,
        "observers": [], "roles.student.model": "test_efficientnet", "epochs": 1, "data.batch_size": 8,
    }  # fmt: skip
    zoo = Zoo()
    layers = [Layer("test", dotted(settings))]
    recipe = resolve(zoo=zoo, registry=load_registry(zoo), method="baseline", layers=layers)
    train(recipe, tmp_path / "run", zoo=zoo)
    rows = read_journal(tmp_path / "run" / "metrics.jsonl")
    said = [row["message"] for row in rows if row["event"] == "warning"]
    start = f"{victim}: unreadable image, left out: UnidentifiedImageError: "
    assert sum(message.startswith(start) for message in said) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_is_one_line_that_says_the_signal(make_folder, open_, number):
    data = open_(make_folder(size=200, train=40, test=1), cache_gb=0, workers=1, batch_size=4)
    handler = signal.getsignal(signal.SIGCHLD)
    batches = iter(data.train)
    next(batches)
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, number)
    with pytest.raises(KdzooError, match=rf"images of the split train was (stopped|killed) by {number.name}"):
        list(batches)
    assert signal.getsignal(signal.SIGCHLD) == handler
