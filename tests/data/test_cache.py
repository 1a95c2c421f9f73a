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

from kdzoo.api import KdzooError
from kdzoo.data import cache
from kdzoo.owner import Owner

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
