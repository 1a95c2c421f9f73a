import errno
import hashlib
import json
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from kdzoo.api import KdzooError
from kdzoo.data import cache
from kdzoo.data.open import open_data
from kdzoo.owner import Owner
from kdzoo.places import cache_folder
from kdzoo.recipe.data import DataConfig

ROWS, SIDE = (0, 3, 5, 6), 2


def fill(pixels):
    pixels[:] = np.arange(48, dtype=np.uint8).reshape(4, 2, 2, 3)
    return {3: "broken"}


def never(pixels):
    raise AssertionError("this should have been found in the cache")


def fetch(place, fill=fill, **given):
    return cache.fetch(place, "a", ROWS, SIDE, fill, **given)


def test_decoded_once_then_mapped(tmp_path):
    first, again = fetch(tmp_path), fetch(tmp_path, never)
    for found in (first, again):
        assert np.array_equal(found.images.reshape(-1), np.arange(48))
        assert found.bad == {3: "broken"}
        assert found.digest == hashlib.sha256(bytes(range(48))).hexdigest()
    again.images[:] = 0  # must not reach the file
    assert fetch(tmp_path, never).images.max() == 47


def test_the_file_is_one_of_numpy(tmp_path):
    assert np.array_equal(fetch(tmp_path).images, np.load(tmp_path / "a.npy"))


def test_a_set_without_images(tmp_path):
    for what in (lambda pixels: {}, never):
        assert cache.fetch(tmp_path, "a", (), SIDE, what).images.shape == (0, 2, 2, 3)


def test_reasons_may_quote_names_that_are_no_text(tmp_path):
    def fill(pixels):
        return {0: "cannot identify '\udcff.png'"}

    assert fetch(tmp_path, fill).bad == fetch(tmp_path, never).bad == {0: r"cannot identify '\udcff.png'"}


def test_a_failure_leaves_nothing(tmp_path):
    def fail(pixels):
        raise KdzooError("too many broken images")

    with pytest.raises(KdzooError, match="too many"):
        fetch(tmp_path, fail)
    assert not any(tmp_path.iterdir())


def flip(place):
    content = bytearray((place / "a.npy").read_bytes())
    content[-7] ^= 1
    (place / "a.npy").write_bytes(content)


def edit(**changes):
    """Change the .json, its seal too, as somebody would who knows how."""

    def damage(place):
        about = place / "a.json"
        facts = json.loads(about.read_text()) | changes
        facts = {name: value for name, value in facts.items() if value is not None}
        plain = json.dumps({name: facts[name] for name in facts if name != "seal"}, separators=(",", ":"))
        about.write_text(json.dumps({**facts, "seal": hashlib.sha256(plain.encode()).hexdigest()}))

    return damage


def swap(place):
    """Another set's files, whole and of the same form."""
    cache.fetch(place, "b", ROWS, SIDE, lambda pixels: {})
    for suffix in (".npy", ".json"):
        (place / f"b{suffix}").rename(place / f"a{suffix}")


DAMAGES = {
    "one bit": flip,
    "every pixel": lambda place: np.save(place / "a.npy", np.full((4, 2, 2, 3), 9, np.uint8)),
    "another form": lambda place: np.save(place / "a.npy", np.zeros((6, 8), np.uint8)),
    "a pickle": lambda place: np.save(place / "a.npy", np.array([{}], object)),
    "cut": lambda place: os.truncate(place / "a.npy", 100),
    "longer": lambda place: os.truncate(place / "a.npy", 500),
    "empty": lambda place: (place / "a.npy").write_bytes(b""),
    "another set": swap,
    "no json": lambda place: (place / "a.json").unlink(),
    "json cut": lambda place: os.truncate(place / "a.json", 30),
    "json empty": lambda place: (place / "a.json").write_bytes(b""),
    "binary json": lambda place: (place / "a.json").write_bytes(b"\xff\x00\xfe"),
    "deep json": lambda place: (place / "a.json").write_text("[" * 100_000),
    "json a list": lambda place: (place / "a.json").write_text("[1, 2]"),
    "an older version": lambda place: (place / "a.json").write_text(
        '{"digest": "0", "bad": {"3": "broken"}}'
    ),
    "digest edited": lambda place: (place / "a.json").write_text(
        (place / "a.json").read_text().replace('"digest":"', '"digest":"0', 1)
    ),
    "a row edited": lambda place: (place / "a.json").write_text(
        (place / "a.json").read_text().replace('"3"', '"5"')
    ),
    "row out of range": edit(bad={"4": "no such row"}),
    "negative row": edit(bad={"-1": "no such row"}),
    "row no number": edit(bad={"x": "broken"}),
    "reason no text": edit(bad={"3": 1}),
    "bad a list": edit(bad=["broken"]),
    "no sums": edit(sums=None),
    "sums of text": edit(sums=["1"]),
    "too few sums": edit(sums=[]),
    "negative sum": edit(sums=[-1]),
    "no digest": edit(digest=None),
    "an unknown key": edit(more=1),
}


def test_editing_makes_valid_seals(tmp_path):
    fetch(tmp_path)
    edit()(tmp_path)
    fetch(tmp_path, never)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_decoded_again_with_one_warning(tmp_path, damage):
    def content(**given):
        found = fetch(tmp_path, **given)
        return found.digest, found.bad, found.images.tolist()

    whole, warnings = content(warn=never), []
    damage(tmp_path)
    assert content(warn=warnings.append) == whole
    (warning,) = warnings
    assert warning.startswith(f"{tmp_path / 'a.npy'}: ")
    assert warning.endswith("; its images are decoded again")
    assert "\n" not in warning
    fetch(tmp_path, never, warn=never)


def test_each_part_of_a_large_set_has_its_check_sum(tmp_path):
    """Three sums of 4 MiB each; the progress counts images."""
    rows, seen = range(40), []

    def fill(pixels):
        pixels[:] = 7
        return {}

    def get(fill, **given):
        return cache.fetch(tmp_path, "a", rows, 300, fill, **given)

    whole = get(fill).digest
    get(never, report=seen.append)
    assert seen == [15, 31, 40]
    for at in (1 << 22, 40 * 300 * 300 * 3):
        with (tmp_path / "a.npy").open("r+b") as file:
            file.seek(at)
            file.write(b"\x06")
        warnings = []
        assert get(fill, warn=warnings.append).digest == whole
        assert len(warnings) == 1


def test_a_file_that_is_cut_while_it_is_in_use(tmp_path):
    found = fetch(tmp_path)
    found.check()
    os.truncate(tmp_path / "a.npy", 100)
    with pytest.raises(KdzooError, match=r"a\.npy: the decoded images were cut .* run again"):
        found.check()


def test_a_file_that_is_replaced_or_removed_stays_in_use(tmp_path):
    found = fetch(tmp_path)
    (tmp_path / "a.npy").unlink()
    found.check()
    assert found.images.max() == 47


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KdzooError, match=r"cannot write the cache .*file/cache/a\.npy: .*KDZOO_CACHE"):
        fetch(tmp_path / "file" / "cache")


def test_what_a_cache_holds_is_read_without_writing(tmp_path):
    fetch(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path, *tmp_path.iterdir())}
    fetch(tmp_path, never)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path, *tmp_path.iterdir())} == before


def test_the_file_system_fails_in_the_middle(tmp_path):
    def fill(pixels):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with pytest.raises(
        KdzooError, match=r"cannot write the cache .*: Read-only file system; set KDZOO_CACHE"
    ):
        fetch(tmp_path, fill)
    assert not any(tmp_path.iterdir())


class TestPlace:
    def test_the_place(self, monkeypatch, tmp_path):
        monkeypatch.setenv("KDZOO_CACHE", str(tmp_path))
        assert cache.folder() == tmp_path / "datasets"
        assert cache.folder(tmp_path / "here") == tmp_path / "here"

    def test_home_relative_and_empty(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("KDZOO_CACHE", "~/x")
        assert cache_folder() == tmp_path / "home" / "x"
        monkeypatch.setenv("KDZOO_CACHE", "x")
        assert cache_folder() == tmp_path / "x"
        monkeypatch.setenv("KDZOO_CACHE", "")
        usual = cache_folder()
        monkeypatch.delenv("KDZOO_CACHE")
        assert cache_folder() == usual != tmp_path

    @pytest.mark.parametrize(
        ("chosen", "said"),
        [
            ("~nobody-has-this-name/x", "no such user has a home folder"),
            ("/dev/null", "is not a folder"),
            ("a-file", "is not a folder"),
        ],
    )
    def test_refused(self, chosen, said, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a-file").write_text("")
        monkeypatch.setenv("KDZOO_CACHE", chosen)
        with pytest.raises(KdzooError, match=f"^KDZOO_CACHE {chosen}:? {said}$"):
            cache_folder()

    @pytest.mark.parametrize("chosen", ["/dev/null", "/dev/null/x", "/proc/x", "x" * 300])
    def test_nothing_is_asked_of_it_before_something_is_decoded(self, chosen, monkeypatch, make_folder):
        monkeypatch.setenv("KDZOO_CACHE", chosen)
        folder = make_folder(train=4, test=2)

        def opened(**given):
            config = DataConfig(data_dir=folder, batch_size=8, workers=0, **given)
            return open_data(config, seed=0, device=torch.device("cpu"))

        assert len(list(opened(cache_gb=0).test)) == 1
        with pytest.raises(
            KdzooError, match=r"^(KDZOO_CACHE|cannot write the cache of decoded images) [^\n]*$"
        ):
            opened()


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
    found = cache.fetch(place, "a", range(100), 8, fill)
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


def test_whoever_waits_says_for_whom(tmp_path):
    owner, told = Owner.of(tmp_path / "a.npy"), []
    owner.take()
    threading.Timer(0.5, owner.release).start()
    fetch(tmp_path, warn=told.append)
    (line,) = told
    assert f"a.npy: process {os.getpid()} on" in line
    assert line.endswith("makes it; waiting")


def test_whoever_decoded_on_another_machine_and_died_is_replaced(tmp_path, monkeypatch):
    with Owner.of(tmp_path / "a.npy").held():
        told = json.loads((tmp_path / "a.npy.owner").read_text())
    (tmp_path / "a.npy.owner").write_text(json.dumps({**told, "machine": "another"}))
    monkeypatch.setenv("KDZOO_STALE_SECONDS", "0.5")
    assert fetch(tmp_path).images.max() == 47
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy", "a.json"}


def test_who_was_replaced_does_not_replace_the_images(tmp_path, monkeypatch):
    monkeypatch.setenv("KDZOO_STALE_SECONDS", "0.3")
    marker = tmp_path / "a.npy.owner"

    def slow(pixels):
        told = json.loads(marker.read_text())
        marker.unlink()
        marker.write_text(json.dumps({**told, "token": "another"}))
        time.sleep(1.0)
        return fill(pixels)

    with pytest.raises(KdzooError, match="has taken it over"):
        fetch(tmp_path, slow)
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy.owner"}


class TestCopy:
    """A copy on the node."""

    @pytest.fixture(params=["KDZOO_LOCAL_CACHE", "SLURM_TMPDIR"])
    def near(self, request, tmp_path, monkeypatch):
        monkeypatch.setenv(request.param, str(tmp_path / "near"))
        return tmp_path / "near" / ("kdzoo/" * (request.param == "SLURM_TMPDIR")) / "datasets"

    def test_it_is_made_once_and_read(self, near, tmp_path):
        assert fetch(tmp_path / "far").path == near / "a.npy"
        assert {path.name for path in near.iterdir()} == {"a.npy", "a.json"}
        for path in (tmp_path / "far").iterdir():
            path.unlink()
        assert fetch(tmp_path / "far", never).images.max() == 47

    def test_the_shared_set_is_copied_not_decoded(self, near, tmp_path, monkeypatch):
        with monkeypatch.context() as without:
            without.setenv("KDZOO_LOCAL_CACHE", "")
            fetch(tmp_path / "far")
        assert not near.exists()
        found = fetch(tmp_path / "far", never)
        assert (found.path, found.images.max()) == (near / "a.npy", 47)

    def test_a_damaged_copy_is_copied_again(self, near, tmp_path):
        fetch(tmp_path / "far")
        (near / "a.npy").write_bytes(b"rubbish")
        told = []
        assert fetch(tmp_path / "far", never, warn=told.append).images.max() == 47
        assert told == []

    def test_without_room_the_shared_set_is_read(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("KDZOO_LOCAL_CACHE", str(tmp_path / "file" / "x"))
        told = []
        assert fetch(tmp_path / "far", warn=told.append).path == tmp_path / "far" / "a.npy"
        (line,) = told
        assert "cannot be copied there: Not a directory; read from" in line

    def test_a_place_that_is_no_folder_is_refused(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("KDZOO_LOCAL_CACHE", str(tmp_path / "file"))
        with pytest.raises(KdzooError, match=r"^KDZOO_LOCAL_CACHE .*file is not a folder$"):
            fetch(tmp_path / "far")


def test_no_room_is_an_error_before_anything_is_decoded(tmp_path):
    """A memory map that finds no room later would be killed by a signal."""
    _, said = start(tmp_path, "full").communicate()
    assert "KdzooError: cannot write the cache of decoded images" in said
    assert not any(tmp_path.iterdir())


def test_leftovers_of_long_ago_are_swept(tmp_path):
    for name, age in (("old.part", 2), ("new.part", 0)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, (tmp_path / name).stat().st_mtime - age * 86400))
    fetch(tmp_path)
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
