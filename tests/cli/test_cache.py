"""``kdzoo cache`` on a cache that two runs have filled."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.jobs.train import train
from kdzoo.owner import Owner
from kdzoo.zoo import Zoo
from tests.jobs.runs import small


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A teacher, and a set that looks decoded."""
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "cache"))
    few = {"data.train_per_class": 2, "data.test_per_class": 2, "roles.teacher.epochs": 1}
    train(small("kd", **few), tmp_path / "run", zoo=Zoo())
    images = tmp_path / "cache" / "datasets" / "train-32px-0123.npy"
    images.parent.mkdir()
    images.write_bytes(b"x" * 5000)
    images.with_suffix(".json").write_text('{"bad": {"3": "broken"}, "source": "/photos/train"}')
    return tmp_path / "cache"


def test_it_says_what_is_kept_and_how_large(kdzoo: Callable[..., Any], filled: Path) -> None:
    answer = kdzoo("cache")
    assert answer.code == 0, answer.err
    first, *lines = answer.out.splitlines()
    size = sum(path.stat().st_size for path in filled.rglob("*") if path.is_file())
    assert first.startswith(f"{filled}: {size / 1e6:.1f} MB")
    text = " ".join(" ".join(lines).split())
    assert "5.1 kB today images 32px, split train of /photos/train, 1 unreadable train-32px-0123.npy" in text
    assert "today teacher test_resnet, epochs: 1, " in text
    assert "today answers test_resnet, seed 0, epochs: 1 test_resnet-" in text
    assert max(map(len, lines)) <= 80
    rows = json.loads(kdzoo("cache", "--json").out)["kept"]
    assert [row["what"] for row in rows] == ["teacher", "images", "answers"]
    assert [row["bytes"] for row in rows] == sorted((row["bytes"] for row in rows), reverse=True)


def test_what_was_not_used_is_pruned(kdzoo: Callable[..., Any], filled: Path) -> None:
    (old,) = (filled / "datasets").glob("*.npy")
    for file in (old, old.with_suffix(".json")):
        os.utime(file, (0, 0))
    assert "0 B removed" in kdzoo("cache", "prune", "--only", "teacher").out
    answer = kdzoo("cache", "prune")
    assert answer.out.splitlines()[-1] == "5.1 kB removed"
    assert not list((filled / "datasets").iterdir())
    assert list((filled / "teachers").iterdir())
    assert kdzoo("cache", "prune", "--all").code == 0
    assert not list((filled / "teachers").iterdir())
    assert not list((filled / "answers").iterdir())
    assert kdzoo("cache").out.splitlines() == [f"{filled}: 0 B"]


def test_what_is_being_made_is_left(kdzoo: Callable[..., Any], filled: Path) -> None:
    (teacher,) = (path for path in (filled / "teachers").iterdir() if path.is_dir())
    with Owner.of(teacher).held():
        kdzoo("cache", "prune", "--all")
        assert (teacher / "student").exists()


def test_an_unusable_cache_is_one_line(
    kdzoo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "file"))
    answer = kdzoo("cache")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
