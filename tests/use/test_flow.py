"""The commands of docs/use.md and of the README's part on it, in their order, in one folder."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def commands(document: str) -> list[list[str]]:
    """The lines of its bash blocks that use a run."""
    text = (ROOT / document).read_text(encoding="utf-8")
    lines = [
        line for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()
    ]
    return [shlex.split(line, comments=True) for line in lines if "runs/NAME" in line]


def test_the_documents_run(kdzoo, run, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("NAME", "OTHER"):
        shutil.copytree(run, tmp_path / "runs" / name)
    (tmp_path / "DIR").symlink_to(photos)
    (tmp_path / "PICTURES").symlink_to(photos / "test" / "eel")
    given = [*commands("docs/use.md"), *commands("README.md")]
    assert [one[1] for one in given] == [
        "predict", "evaluate", "export", "predict", "compare", "predict", "evaluate", "export", "compare",
    ]  # fmt: skip
    for command in given:
        answer = kdzoo(*command[1:])
        assert answer.code == 0, (command, answer.err)
    assert {"evaluation.html", "student.onnx", "student.json"} <= {
        one.name for one in (tmp_path / "runs" / "NAME").iterdir()
    }


@pytest.fixture
def onnx_file(kdzoo, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ("--include-preprocessing", "--output", "student.onnx", "--samples", 4)
    assert kdzoo("export", run, "--to", "onnx", *given).code == 0


def test_the_program_without_kdzoo_runs(onnx_file, photos, tmp_path, capsys):
    shutil.copy(photos / "test" / "dog" / "0.png", tmp_path / "photo.jpg")
    [code] = re.findall(r"^```py\n(.*?)^```", (ROOT / "docs/use.md").read_text(encoding="utf-8"), re.M | re.S)
    exec(compile(code, "block", "exec"), {"__name__": "block"})
    assert capsys.readouterr().out.strip() in ("cat", "dog", "eel")
