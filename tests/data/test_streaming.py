"""Streamed data sets yield the same as decoded ones."""

import torch


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
