import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from kdzoo.api import KdzooError
from kdzoo.data import cache

SHAPE = (4, 2, 2, 3)


def fill(pixels):
    pixels[:] = np.arange(48, dtype=np.uint8).reshape(SHAPE)
    return {3: "broken"}


def never(pixels):
    raise AssertionError("this should have been found in the cache")


def test_decoded_once_then_mapped(tmp_path):
    first, again = cache.fetch(tmp_path, "a", SHAPE, fill), cache.fetch(tmp_path, "a", SHAPE, never)
    for found in (first, again):
        assert isinstance(found.images, np.memmap)
        assert np.array_equal(found.images.reshape(-1), np.arange(48))
        assert found.bad == {3: "broken"}
        assert found.digest == first.digest
    again.images[:] = 0  # must not reach the file
    assert cache.fetch(tmp_path, "a", SHAPE, never).images.max() == 47


def test_a_failure_leaves_nothing(tmp_path):
    def fail(pixels):
        raise KdzooError("too many broken images")

    with pytest.raises(KdzooError, match="too many"):
        cache.fetch(tmp_path, "a", SHAPE, fail)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}


@pytest.mark.parametrize("name", ["a.npy", "a.json"])
@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_entry_is_made_anew(tmp_path, name, damage):
    whole = cache.fetch(tmp_path, "a", SHAPE, fill).digest
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    assert cache.fetch(tmp_path, "a", SHAPE, fill).digest == whole
    cache.fetch(tmp_path, "a", SHAPE, never)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KdzooError, match=r"cannot write the cache .*file/cache/a\.npy: .*KDZOO_CACHE"):
        cache.fetch(tmp_path / "file" / "cache", "a", SHAPE, fill)


def test_the_place(monkeypatch, tmp_path):
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path))
    assert cache.folder() == tmp_path / "datasets"
    assert cache.folder(tmp_path / "here") == tmp_path / "here"


SCRIPT = textwrap.dedent("""
    import os, resource, sys, time
    from pathlib import Path
    from kdzoo.data import cache
    place, how = Path(sys.argv[1]), sys.argv[2]
    if how == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    def fill(pixels):
        with (place / "filled").open("a") as file:
            file.write("x")
        pixels[: len(pixels) // 2] = 7
        if how == "die":
            os._exit(9)
        time.sleep(0.5)
        pixels[len(pixels) // 2 :] = 8
        return {}
    found = cache.fetch(place, "a", (100, 8, 8, 3), fill)
    print(found.digest, found.images[0, 0, 0, 0], found.images[99, 0, 0, 0])
""")


def start(place, how):
    command = [sys.executable, "-c", SCRIPT, str(place), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_at_once(tmp_path):
    """Whoever comes second waits; nobody sees half a file, even after a process was killed in the middle."""
    killed = start(tmp_path, "die")
    killed.communicate()
    assert killed.returncode == 9
    assert list(tmp_path.glob("*.part"))
    assert not (tmp_path / "a.npy").exists()
    said = [process.communicate()[0] for process in [start(tmp_path, "live") for _ in range(3)]]
    assert len(set(said)) == 1
    assert said[0].split()[1:] == ["7", "8"]
    assert (tmp_path / "filled").read_text() == "xx"


def test_no_room_is_an_error_before_anything_is_decoded(tmp_path):
    """A memory map that finds no room later would be killed by a signal."""
    _, said = start(tmp_path, "full").communicate()
    assert "KdzooError: cannot write the cache of decoded images" in said
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}


def test_leftovers_of_long_ago_are_swept(tmp_path):
    for name, age in (("old.part", 2), ("new.part", 0)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, (tmp_path / name).stat().st_mtime - age * 86400))
    cache.fetch(tmp_path, "a", SHAPE, fill)
    assert [path.name for path in tmp_path.glob("*.part")] == ["new.part"]


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
