"""The one reader of YAML: numbers, words, keys, and what is refused before it is built."""

import math
from pathlib import Path

import pytest
import yaml

from kdzoo.errors import KdzooError
from kdzoo.files import absolute, folder_name, inside
from kdzoo.yaml_text import MOST_BYTES, parse, read_yaml, to_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-8", 1e-8),
        ("1E5", 1e5),
        ("1e-1", 0.1),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("+1e3", 1000.0),
        ("1.", 1.0),
        ("1_000", 1000),
        ("010", 10),
        ("0x1f", 31),
        ("-7", -7),
        ("-.inf", -math.inf),
        ("on", True),
        ("No", False),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1e-8'", "1e-8"),
        ("'no'", "no"),
        ("2026-02-30", "2026-02-30"),
        ("12:30:45", "12:30:45"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("[1e-3, {a: .5}]", [1e-3, {"a": 0.5}]),
        ("!!str 5", "5"),
    ],
)
def test_values_are_read_as_people_write_them(text, value):
    found = parse(text, "here")
    assert (found, type(found)) == (value, type(value))


def test_anchors_and_merges_are_written_out():
    text = (
        "base: &base {a: 1, b: [x]}\none: {<<: *base, b: 2}\ntwo: {<<: [*base, {a: 3, c: 4}]}\nthree: *base"
    )
    found = parse(text, "here")
    assert found["one"] == {"a": 1, "b": 2}
    assert found["two"] == {"a": 1, "b": ["x"], "c": 4}
    found["three"]["b"].append("y")
    assert found["base"]["b"] == ["x"], "no two places share a value"


def bomb(start: str, link: str) -> str:
    """Twenty lines, each of which names the one before it ten times."""
    lines = [f"a0: &a0 {start}"]
    for number in range(1, 20):
        before = ", ".join([f"*a{number - 1}"] * 10)
        lines.append(f"a{number}: &a{number} {link.format(before)}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("optim:\n  lr: 1\n  lr: 2", "here, line 3: optim.lr: the key is there twice, first in line 2"),
        ("a: {1: x}", "here, line 1: a: the key 1 is no text; put it in quotes"),
        ("on: push", "the key True is no text"),
        ("? [a, b]\n: c", "the key ['a', 'b'] is no text"),
        ("a: &a [*a]", "more than 40 levels deep, or an anchor that contains itself"),
        ("a: &a {b: *a}", "more than 40 levels deep"),
        ("a: &a {<<: *a}", "more than 40 levels deep"),
        ("[" * 50 + "]" * 50, "more than 40 levels deep"),
        ("[" * 5000, "not YAML"),
        (bomb("[x, x, x, x]", "[{}]"), "more than 100000 values, aliases written out"),
        (bomb("{k: v}", "{{<<: [{}]}}"), "more than 100000 values, aliases written out"),
        (f"seed: {'9' * 10_000}", "seed: a number of 10000 digits"),
        ("lr: 1e999", "lr: '1e999' is larger than any number of 64 bits"),
        ("a: !!python/object/apply:os.system ['true']", "no place for the tag"),
        ("a: !!binary aGk=", "no place for the tag"),
        ("a: !!int many", "'many' is no number"),
        ("a: !!bool perhaps", "'perhaps' is neither true nor false"),
        ('a: "\\e[2J"', "the control character '\\x1b' in a text"),
        ('a: "\\0"', "the control character '\\x00'"),
        ("a\x00b", "not YAML"),
        ("a: \udc80", "not YAML"),
        ("<<: 3", "<< takes keys with values"),
        ("a: *gone", "not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2", "line 2: not YAML"),
        ("x" * (MOST_BYTES + 1), "longer than 1000000 characters"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else value,
)
def test_what_is_refused_is_one_short_line_with_the_place(text, says):
    with pytest.raises(KdzooError) as caught:
        parse(text, "here")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe\x00", "not a text file"),
        (b"", "expected keys with values, found NoneType"),
        (b"a: 1\n" * MOST_BYTES, "larger than 1000000 bytes"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, content, says):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(KdzooError, match=rf"a\.yaml: {says}"):
        read_yaml(tmp_path / "a.yaml")
    with pytest.raises(KdzooError, match="Is a directory"):
        read_yaml(tmp_path)
    with pytest.raises(KdzooError, match="File name too long"):
        read_yaml(tmp_path / ("a" * 300))


def test_what_is_written_is_read_again_by_us_and_by_readers_of_yaml_1_1():
    texts = [
        "1e-8",
        "010",
        "on",
        "No",
        "2026-01-01",
        "12:30",
        "~",
        "<<",
        ".5",
        "1.",
        "0o7",
        "=",
        "a: b",
        "x\ny",
    ]
    data = {"texts": texts, "numbers": [1e-8, 1e300, 0.1, -5, math.inf], "others": [None, True, {}, []]}
    written = to_yaml(data)
    assert parse(written, "here") == yaml.safe_load(written) == data


def test_a_path_stays_in_its_folder(tmp_path):
    (tmp_path / "run" / "pictures").mkdir(parents=True)
    (tmp_path / "secret").write_text("")
    (tmp_path / "run" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "run" / "circle").symlink_to("circle")
    assert inside(tmp_path / "run", "pictures/a.png") == (tmp_path / "run/pictures/a.png").resolve()
    for name in (
        "../secret",
        "/etc/passwd",
        "pictures/../../secret",
        "link",
        "circle/x",
        "a\0b",
        "..",
    ):
        with pytest.raises(KdzooError, match="leads out of the folder") as caught:
            inside(tmp_path / "run", name)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("kd-resnet50-digits-seed0", "kd-resnet50-digits-seed0"),
        ("../../escaped", "-..-escaped"),
        ("/etc/cron.d", "-etc-cron.d"),
        ("..", "unnamed"),
        ("a\0b\\c", "a-b-c"),
        ("ä" * 150, "ä" * 100),
    ],
)
def test_a_folders_name_is_one_folder(text, name):
    assert folder_name(text) == name


def test_the_home_of_nobody_is_refused():
    with pytest.raises(KdzooError, match="~no-such-user/x"):
        absolute(Path("~no-such-user/x"))
