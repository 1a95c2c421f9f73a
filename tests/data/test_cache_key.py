"""When a set is decoded again, and what of it is."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image


class TestKey:
    @pytest.fixture
    def decoded(self, make_folder, open_):
        """The images that each opening decodes."""
        folder = make_folder(train=4, test=2)

        def open_again(**config):
            seen = []
            open_(folder, progress=lambda label, done, total: seen.append((label, done, total)), **config)
            return {label: total for label, done, total in seen if done == total}

        assert open_again() == {"decoding train": 12, "decoding test": 6}
        return folder, open_again

    def test_nothing_changed(self, decoded):
        _, open_again = decoded
        assert open_again() == {}
        assert open_again(train_per_class=2, split_seed=3, batch_size=1, augment={"crop": 1}) == {}

    def test_another_size(self, decoded):
        assert decoded[1](img_size=9) == {"decoding train": 12, "decoding test": 6}

    def test_a_file_changed(self, decoded):
        folder, open_again = decoded
        victim = folder / "train" / "cat" / "000.png"
        Image.new("RGB", (8, 8), (41, 0, 0)).save(victim)
        assert open_again() == {"decoding train": 12}

    def test_a_file_was_written_again_with_the_same_size(self, decoded):
        folder, open_again = decoded
        victim = folder / "test" / "cat" / "000.png"
        victim.write_bytes(victim.read_bytes())
        os.utime(victim, ns=(0, victim.stat().st_mtime_ns + 1))
        assert open_again() == {"decoding test": 6}

    def test_a_file_was_added_or_removed(self, decoded):
        folder, open_again = decoded
        new = folder / "train" / "owl" / "new.png"
        Image.new("RGB", (8, 8)).save(new)
        assert open_again() == {"decoding train": 13}
        new.unlink()
        (folder / "train" / "owl" / "001.png").unlink()
        assert open_again() == {"decoding train": 11}


def test_of_a_set_too_large_only_what_is_needed_is_decoded(make_folder, open_):
    folder, seen = make_folder(train=20, test=10), []
    budget = 3 * (6 + 3) * 8 * 8 * 3 / 1e9
    data = open_(
        folder, cache_gb=budget, train_per_class=5, test_per_class=3, val_fraction=0.1, augment={},
        progress=lambda label, done, total: seen.append((label, total)),
    )  # fmt: skip
    assert set(seen) == {("decoding train", 18), ("decoding test", 9)}
    whole = open_(folder, train_per_class=5, test_per_class=3, val_fraction=0.1, augment={})
    for split in ("train", "val", "test"):
        for batch, same in zip(getattr(data, split), getattr(whole, split), strict=True):
            assert batch.index.tolist() == same.index.tolist()
            assert np.array_equal(batch.inputs["image"], same.inputs["image"])


CUT = textwrap.dedent("""
    import os, sys
    from pathlib import Path
    import torch
    from kdzoo.data.open import open_data
    from kdzoo.errors import KdzooError
    from kdzoo.recipe.data import DataConfig
    place = Path(sys.argv[2])
    config = DataConfig(data_dir=sys.argv[1], batch_size=8)
    data = open_data(config, seed=0, device=torch.device("cpu"), cache_dir=place)
    batches = iter(data.train)
    next(batches)
    for path in place.glob("train-*.npy"):
        os.truncate(path, 100)
    for read in (lambda: next(batches), lambda: data.fetch(data.train.split.index[:2])):
        try:
            read()
        except KdzooError as error:
            print(error)
""")


def test_a_set_that_is_cut_under_a_run_is_an_error_and_no_signal(make_folder, tmp_path):
    command = [
        sys.executable,
        "-c",
        CUT,
        str(make_folder(size=32, train=20, test=1)),
        str(tmp_path / "cache"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.count("were cut by another program")) == (0, 2), ended.stderr


def test_a_stored_set_says_where_it_comes_from(make_folder, open_, tmp_path):
    folder = make_folder(train=3, test=2)
    open_(folder)
    stored = {
        path.name.partition("-")[0]: json.loads(path.read_text())["source"]
        for path in (tmp_path / "cache").glob("*.json")
    }
    assert stored == {split: str(folder / split) for split in ("train", "test")}
