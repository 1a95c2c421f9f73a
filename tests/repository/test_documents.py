"""Every code block of the README, the docs and the cards runs as it stands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from kdzoo.cli import main as entry

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[object]:
    for document in DOCUMENTS:
        for match in BLOCK.finditer(document.read_text()):
            if match.group(1) == language:
                line = document.read_text()[: match.start()].count("\n") + 1
                yield pytest.param(match.group(2), id=f"{document.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("code", list(blocks("python")))
def test_python_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "block", "exec"), {"__name__": "block"})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "DIR"
    for split, count in (("train", 3), ("test", 1)):
        for number, name in enumerate(("cat", "dog", "eel", "fox")):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (32, 32), (30 * index, 60 * number, 60)).save(
                    folder / split / name / f"{index}.png"
                )
    return folder.parent


def commands() -> Iterator[object]:
    for parameter in blocks("sh"):
        for number, line in enumerate(parameter.values[0].replace("\\\n", " ").splitlines(), 1):
            command = shlex.split(line, comments=True)
            if command and command[0] == "kdzoo":
                document = str(parameter.id)
                # the cards' commands train networks of a real size, and suites and rows train several
                heavy = document.startswith("plugins") or command[1] in (
                    "bench",
                    "reproduce",
                    "report",
                    "check",
                )
                marks = [pytest.mark.slow] if heavy and not document.startswith("README") else []
                yield pytest.param(command[1:], id=f"{parameter.id}+{number}", marks=marks)


SHORT = {
    "distill": "--epochs 2 -b 4 --quiet --set observers=[]",
    "reinforce": "-b 4 --quiet",
    "bench": "--epochs 1 --seeds 0 --methods baseline,kd --set roles.teacher.epochs=1",
}
"""What is added to a command so that it ends in seconds: less work, the same paths."""


def exit_code(main) -> int:
    try:
        main()
    except SystemExit as exit:
        return int(exit.code or 0)
    return 0


@pytest.mark.parametrize("command", list(commands()))
def test_commands_run(command, pictures, monkeypatch):
    monkeypatch.chdir(pictures)
    monkeypatch.setenv("KDZOO_CACHE", str(pictures / "cache"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for argument in command:  # files that a reader has and we have not
        if argument.endswith(".pth"):
            pytest.skip("needs a file of the reader's")
    extra = shlex.split(SHORT.get(command[0], ""))
    if command[0] == "distill" and "--data-dir" not in command:
        extra += ["--train-per-class", "4", "--test-per-class", "2"]
    if "--teacher" in command:
        extra += ["--teacher-epochs", "1"]
    if command[0] == "distill" and "--output" not in command:
        extra += ["--output", f"runs/{len(list(pictures.glob('runs/*')))}"]
    monkeypatch.setattr("sys.argv", ["kdzoo", *command, *extra])
    assert exit_code(entry.main) == 0
    for file in pictures.glob("runs/*/checkpoint/*.ckpt"):  # of all cards together: 25 GB
        file.unlink()
