"""Helpers of all core packages: atomic files, number of cores, the first error of a validation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError, field_validator

from kdzoo.cores import available_cores
from kdzoo.errors import Fault, KdzooError
from kdzoo.files import replace_file, write_text


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("max 100000\n", None),
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("150000 100000\n", 1),
        ("100000000 100000\n", None),
        ("", None),
    ],
)
def test_the_cores_are_those_of_the_affinity_or_of_the_quota(said, expected, tmp_path):
    quota = tmp_path / "cpu.max"
    quota.write_text(said)
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert available_cores(quota) == (expected or affinity)
    assert available_cores(tmp_path / "missing") == affinity


class Inner(BaseModel):
    size: int


class Outer(BaseModel):
    parts: list[Inner]
    word: str = "a"

    @field_validator("word")
    @classmethod
    def _short(cls, word: str) -> str:
        if len(word) > 3:
            raise ValueError("at most three letters")
        return word


@pytest.mark.parametrize(
    ("content", "loc", "code", "text"),
    [
        ({"parts": [{"size": 1}, {}]}, ("parts", "1", "size"), "missing", "parts.1.size: Field required"),
        ({"parts": [], "word": "four"}, ("word",), "value_error", "word: at most three letters"),
        (7, (), "model_type", "Input should be a valid dictionary or instance of Outer"),
    ],
)
def test_the_first_fault_is_one_line(content, loc, code, text):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(content)
    fault = Fault.first(caught.value)
    assert (fault.loc, fault.code, str(fault)) == (loc, code, text)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    file = tmp_path / "file.txt"
    write_text(file, "old")

    def break_off(part):
        part.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        replace_file(file, break_off)
    assert file.read_text() == "old"
    write_text(file, "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file.txt": "new"}


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(KdzooError, match=r"missing/file\.txt: cannot be written: No such file"):
        write_text(tmp_path / "missing" / "file.txt", "text")


@pytest.mark.parametrize(
    ("spelling", "only"),
    [
        ("os.replace(", {"files.py"}),
        (".errors()[", {"errors.py"}),
        ("sched_getaffinity(", {"cores.py"}),
    ],
)
def test_each_is_written_once(spelling, only):
    core = Path(__file__).parents[2] / "kdzoo"
    found = {str(path.relative_to(core)) for path in core.rglob("*.py") if spelling in path.read_text()}
    assert found <= only
