"""The first minute: what ``kdzoo`` and ``kdzoo distill`` say of themselves."""

from pathlib import Path

import pytest
import timm
from PIL import Image

from kdzoo.cli.first import first_commands, image_folder
from kdzoo.recipe.layers import Layer
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def test_without_a_command_three_that_fit_are_shown(kdzoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = kdzoo()
    assert (answer.code, answer.out) == (2, "")
    *lines, refused = answer.err.splitlines()
    assert refused.startswith("kdzoo: missing command; known: list, show, distill, bench, ")
    assert refused.endswith("(kdzoo --help)")
    assert "no folder of images here" in lines[0]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["kdzoo", "distill"],
        ["kdzoo", "bench"],
        ["kdzoo", "list"],
    ]
    for name in ("cat", "dog"):
        picture(tmp_path / "my photos" / "train" / name / "1.jpg")
    *lines, _ = kdzoo().err.splitlines()
    assert "images in my photos" in lines[0]
    assert lines[1].endswith("--data-dir 'my photos'")


def test_distill_alone_shows_three_runs_and_says_what_is_missing(kdzoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        picture(tmp_path / name / "1.png")
    answer = kdzoo("distill")
    *lines, refused = answer.err.splitlines()
    assert answer.code == 2
    assert refused == "kdzoo: what shall be run? pass --method NAME (kdzoo list shows them) or --recipe FILE"
    assert [line.split()[:3] for line in lines[1:]] == [["kdzoo", "distill", "--method"]] * 3
    assert all(line.endswith("--data-dir .") for line in lines[1:])


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("kd", "--teacher MODEL and --student MODEL, such as --teacher resnet50 --student resnet18"),
        ("avg", "--teacher MODEL and --student MODEL, such as --teacher resnet50 --student resnet18"),
        ("dml", "--student MODEL, such as --student resnet18"),
        ("baseline", "--student MODEL, such as --student resnet18"),
    ],
)
def test_a_method_alone_says_which_networks_to_give(kdzoo, method, says):
    answer = kdzoo("distill", "--method", method)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"kdzoo: which networks? pass {says}\n"


@pytest.mark.parametrize("folder", [None, Path("photos")])
@pytest.mark.parametrize("gpu", [False, True])
def test_the_commands_are_true(folder, gpu):
    zoo = Zoo()
    registry = load_registry(zoo)
    for line in (
        *first_commands(folder, ["kd", "rkd"], gpu=gpu),
        *first_commands(folder, ["kd", "rkd"], gpu=gpu, command="distill"),
    ):
        words = line.split()
        assert ("--data-dir photos" in line) == (folder is not None and words[1] != "list")
        if words[1] != "distill":
            continue
        given = dict(zip(words[2::2], words[3::2], strict=True))
        roles = {role: given[f"--{role}"] for role in ("teacher", "student") if f"--{role}" in given}
        assert set(roles.values()) <= set(timm.list_models())
        resolve(
            zoo=zoo, registry=registry, method=given["--method"], layers=[Layer("test", {"roles": roles})]
        )


def test_a_folder_of_images_is_found(tmp_path):
    assert image_folder(tmp_path) is None
    picture(tmp_path / "docs" / "figure.png")
    assert image_folder(tmp_path) is None  # one folder with pictures is no data set
    picture(tmp_path / "set" / "dog" / "a.JPG")
    picture(tmp_path / "set" / "cat" / "b.webp")
    assert image_folder(tmp_path) == tmp_path / "set"
    assert image_folder(tmp_path / "set") == Path()
    for name in ("dog", "cat"):
        (tmp_path / "set" / name).rename(tmp_path / "set" / f".{name}")
    assert image_folder(tmp_path) is None
    assert image_folder(tmp_path / "nothing") is None
