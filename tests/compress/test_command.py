"""``kdzoo compress``: from a folder to a file, and what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from kdzoo.compress.record import FILE

NETWORKS = ("--teacher", "test_resnet", "--students", "test_efficientnet")


def test_a_dry_run_shows_the_plan_and_writes_nothing(kdzoo, labelled: Path, tmp_path: Path) -> None:
    answer = kdzoo(
        "compress", labelled, "--budget", "10m", *NETWORKS, "--output", tmp_path / "new", "--dry-run"
    )
    assert answer.code == 0, answer.err
    for part in (
        "72 training, 18 validation, 36 test of 3 classes, 32 x 32 pixels",
        "teacher: test_resnet",
        "final:",
    ):
        assert part in answer.out
    assert "in all about" in answer.out.splitlines()[-1]
    assert not (tmp_path / "new").exists()


def test_a_dry_run_as_json(kdzoo, labelled: Path) -> None:
    answer = kdzoo("compress", labelled, "--budget", "10m", *NETWORKS, "--dry-run", "--json")
    plan = json.loads(answer.out)["plan"]
    assert plan["seconds"] <= 601
    assert [one["model"] for one in plan["students"]] == ["test_efficientnet"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "soon"], "expected a time such as"),
        (["--budget", "5s"], "the least is about"),
        (["--teacher", "resnet5000"], "unknown timm model"),
        (["--students", "mobilnet"], "unknown timm model"),
        (["--methods", "kdd"], "unknown method"),
        (["--max-params", "1k"], "no candidate has at most 1,000 parameters; the nearest is test_efficientnet with"),
        (["--max-mb", "0.01"], "no candidate is within the limits"),
        (["--max-latency-ms", "-1"], "greater than 0"),
        (["--teacher-weights", "none.pth", "--teacher", "test_resnet"], "none.pth"),
        (["--val-fraction", "0"], "by which everything is chosen"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    kdzoo, labelled: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    own = [] if "--teacher" in arguments else ["--teacher", "test_resnet"]
    own += [] if "--students" in arguments else ["--students", "test_efficientnet"]
    answer = kdzoo(
        "compress", labelled, *own, *arguments, "--output", tmp_path / "new", "--to", "torchscript", "--quiet"
    )
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_folders_that_are_refused(kdzoo, made, flat: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    one = tmp_path / "one" / "cat"
    one.mkdir(parents=True)
    for picture in list(flat.glob("*.png"))[:9]:
        (one / picture.name).symlink_to(picture)
    for folder, said in (
        (tmp_path / "none", "does not exist"),
        (tmp_path / "empty", "no"),
        (tmp_path / "one", "one class"),
        (flat, "no labels"),  # and no teacher that is trained already
    ):
        answer = kdzoo("compress", folder, *NETWORKS, "--quiet", "--output", tmp_path / "new")
        assert answer.code == 2, folder
        assert said in answer.err
        assert answer.err.count("\n") == 1


def test_a_folder_of_something_else_is_kept(kdzoo, labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear")
    answer = kdzoo("compress", labelled, *NETWORKS, "--output", tmp_path)
    assert answer.code == 2
    assert "not of kdzoo compress" in answer.err


def _started(labelled: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "kdzoo", "compress", str(labelled), "--budget", "90s", *NETWORKS,
            "--methods", "kd", "--output", str(output), "--workers", "1"]  # fmt: skip


@pytest.mark.slow
def test_from_class_folders_to_a_file(kdzoo, labelled: Path, tmp_path: Path) -> None:
    """Stopped while it trains, it goes on; another request in its folder is refused."""
    output = tmp_path / "out"
    command = _started(labelled, output)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        while not (output / "teacher").is_dir() and first.poll() is None:
            time.sleep(0.2)
        first.send_signal(signal.SIGINT)
        said = first.communicate()[1]
    assert first.returncode == 130, said
    assert "the same command goes on from here" in said
    before = json.loads((output / FILE).read_text())
    assert "results" not in before

    answer = kdzoo(*command[3:])
    assert answer.code == 0, answer.err
    after = json.loads((output / FILE).read_text())
    assert after["plan"] == before["plan"]
    assert after["spent"] > before["spent"]
    _check(answer, output, after["results"], kdzoo)
    assert after["results"]["worth"] in ("yes", "no", "cannot tell")
    assert {row["entry"] for row in after["results"]["rows"]} == {
        "baseline", "kd", "label-smoothing", "plain-as-long",
    }  # fmt: skip
    card = (output / "student" / "README.md").read_text()
    assert after["results"]["verdict"][0] in card

    again = kdzoo(*command[3:], "--budget", "2h")
    assert again.code == 2
    assert "was begun otherwise: budget was 90.0, is 7200.0" in again.err


@pytest.mark.slow
def test_from_pictures_without_labels_to_a_file(kdzoo, flat: Path, tmp_path: Path) -> None:
    """The teacher has weights; nothing is said about accuracy."""
    weights, output = tmp_path / "teacher.safetensors", tmp_path / "out"
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=5).state_dict(), weights)
    answer = kdzoo(
        "compress", flat, "--budget", "90s", "--teacher", "test_resnet", "--teacher-weights", weights, "--students",
        "test_efficientnet", "--output", output,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    results = json.loads((output / FILE).read_text())["results"]
    assert results["worth"] == "no labels"
    assert results["rows"] == []
    assert "nothing can be said about accuracy" in answer.out
    _check(answer, output, results, kdzoo)


def _check(answer: Any, output: Path, results: dict[str, Any], kdzoo: Any) -> None:
    """The file's answers are torch's, the report tells the story, the last line says how to go on."""
    assert results["difference"] < 1e-3
    assert results["agreement"] == pytest.approx(100)
    assert f"kdzoo predict {output / results['file']}" in answer.out
    report = (output / "report.md").read_text()
    assert "## The answer" in report
    assert (output / "report.html").read_text().count("<h2>") >= 5
    picture = next(
        Path(json.loads((output / FILE).read_text())["request"]["data"]["data_dir"]).rglob("*.png")
    )
    predicted = kdzoo("predict", output / results["file"], picture, "--format", "jsonl")
    assert predicted.code == 0, predicted.err
