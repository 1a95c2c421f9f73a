"""The page of benchmarks/gpu.py, from parts that are made up; and that a part is never done twice."""

import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    before = set(sys.modules)
    yield importlib.import_module("gpu")
    for name in {"gpu", "gpu_page"} - before:
        sys.modules.pop(name, None)


@pytest.fixture
def call(gpu: ModuleType, tmp_path: Path) -> Any:
    made = gpu.Call(tmp_path, time.monotonic() + 60, "cuda", False, 2, None)
    gpu.keep(tmp_path / "machine.json", {"device": "A GPU", "torch": "2.15.0"})
    gpu.keep(made.place("checked", "knowledge:kd"), {"checks": 5, "wrong": []})
    gpu.keep(
        made.place("checked", "scheme:one"), {"checks": 5, "wrong": ["resume: it ends with other weights"]}
    )
    gpu.keep(made.place("ran", "kd"), {"seconds": 1.0, "export": "equal"})
    gpu.keep(made.place("ran", "dml"), {"error": "RuntimeError: out of | memory"})
    gpu.keep(
        made.place("timed", "a>b | 64 | bare, float32"),
        {"ms": 3.21, "images": 19938.0, "waits": 0.5, "busy": 81},
    )
    gpu.keep(made.place("timed", "a>b | 64 | compiled"), {"error": "RuntimeError: no compiler"})
    rows = [{"method": "at", "seeds": 2, "mean": 91.5, "half": 0.4, "published": 92.07, "seconds": 120.0}]
    gpu.keep(made.place("attention", "a>b"), {"rows": rows, "unfinished": 3, "failures": []})
    return made


def page(call: Any, *, quick: bool) -> str:
    from gpu_page import write  # on the path while the fixture lasts

    target = call.output / "page.md"
    write(call.output, target, quick=quick)
    return target.read_text(encoding="utf-8")


def test_figures_stand_beside_the_published_ones_and_failures_say_why(call: Any) -> None:
    text = page(call, quick=False)
    assert "Measured on A GPU; torch 2.15.0." in text
    assert "1 of 2 components under the conformance kit hold." in text
    assert "- `scheme:one`: resume: it ends with other weights" in text
    assert "- `dml`: RuntimeError: out of / memory" in text
    assert "| a>b | 64 | bare, float32 | 3.21 | 19,938 | 0.50 | 81 |" in text
    assert "| a>b | 64 | compiled | RuntimeError: no compiler |  |  |  |" in text
    assert "| a>b | at | 2 | 91.50 ± 0.40 | 92.07 | −0.57 | 2.0 |" in text
    assert "- a>b: 3 runs have not ended; the same command goes on." in text


def test_a_quick_page_says_so_and_has_no_figures(call: Any) -> None:
    text = page(call, quick=True)
    assert "it proves the script, not the figures" in text
    assert "| a>b | 64 | bare, float32 | ran |  |  |  |" in text
    assert "| a>b | at | 2 | ran | 92.07 |  |  |" in text
    for figure in ("3.21", "19,938", "91.50", "A GPU"):
        assert figure not in text


def test_a_part_that_is_known_is_not_done_again(gpu: ModuleType, call: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in call.output.rglob("*.json")}
    gpu.in_processes(call, "ran", ["kd", "dml"], 2)
    assert {path: path.stat().st_mtime_ns for path in call.output.rglob("*.json")} == before
    assert not (call.output / "logs").exists(), "no process was begun"
    assert json.loads(call.place("ran", "kd").read_text())["export"] == "equal"


def test_when_time_is_up_nothing_begins(gpu: ModuleType, call: Any) -> None:
    late = gpu.Call(call.output, time.monotonic() - 1, "cuda", False, 2, None)
    gpu.in_processes(late, "ran", ["fitnet"], 1)
    assert not call.place("ran", "fitnet").exists()
    assert not (call.output / "logs").exists()
