import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kdzoo.api import (
    EpochEnded,
    Job,
    KdzooError,
    PhaseStarted,
    Pictured,
    RunEnded,
    RunFailed,
    RunStarted,
    StepsDone,
    Warned,
)
from kdzoo.errors import Damaged
from kdzoo.observers.journal import Journal, read_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def epoch(number: int) -> EpochEnded:
    return EpochEnded("distill", number, {"train/task": 1 / number})


def test_every_event_has_its_row(path: Path):
    journal, before = Journal(path), time.time()
    folder = path.parent
    recipe = {"epochs": 2, "data": {"data_dir": None}}
    for event in (
        RunStarted(folder, Job("one", tags=("a", "b")), recipe),
        PhaseStarted("distill", 2, 10),
        StepsDone("distill", 1, 5),
        EpochEnded("distill", 1, {"train/task": np.float32(0.5), "val/accuracy": 87.5}),
        Warned("a line with a \n in it, and é"),
        Pictured("curve", folder / "figures" / "curve.png", 1),
        RunEnded(folder, {"test/last": 80.0, "student": folder / "student", "other": Path("/else/where")}),
        RunFailed("NotFinite: too late"),
    ):
        journal.observe(event)
    rows = read_journal(path)
    assert all(before - 1 < row.pop("time") < time.time() + 1 for row in rows)
    job = {"name": "one", "kind": "student", "suite": None, "tags": ["a", "b"]}
    assert rows == [
        {"event": "start", "job": job, "recipe": recipe, "resumed": False},
        {"event": "phase", "phase": "distill", "epochs": 2, "steps": 10, "epoch": 0},
        {
            "event": "epoch",
            "phase": "distill",
            "epoch": 1,
            "metrics": {"train/task": 0.5, "val/accuracy": 87.5},
        },
        {"event": "warning", "message": "a line with a \n in it, and é"},
        {"event": "picture", "name": "curve", "path": "figures/curve.png", "epoch": 1},
        {"event": "result", "result": {"test/last": 80.0, "student": "student", "other": "/else/where"}},
        {"event": "failed", "error": "NotFinite: too late"},
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_what_is_not_finite_is_null(path: Path, value: float):
    Journal(path).observe(EpochEnded("distill", 1, {"train/task": value}))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    row = json.loads(path.read_text(), parse_constant=refuse)
    assert row["metrics"] == {"train/task": None}


def test_rows_outlive_sigkill(path: Path):
    script = """
import os, signal, sys
from pathlib import Path
from kdzoo.api import EpochEnded
from kdzoo.observers.journal import Journal
journal = Journal(Path(sys.argv[1]))
for epoch in range(1, 4): journal.observe(EpochEnded("distill", epoch, {}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", script, str(path)])
    assert died.returncode == -signal.SIGKILL
    assert [row["epoch"] for row in read_journal(path)] == [1, 2, 3]


def test_a_resume_cuts_what_came_after_the_checkpoint(path: Path):
    journal = Journal(path)
    nothing = journal.position()
    assert nothing[0] == 0
    journal.observe(epoch(1))
    position = journal.position()
    assert position[0] == path.stat().st_size
    journal.observe(epoch(2))
    with path.open("a") as file:
        file.write('{"event": "epo')

    resumed = Journal(path)
    resumed.truncate(position)
    resumed.observe(epoch(2))
    assert [row["epoch"] for row in read_journal(path)] == [1, 2]
    resumed.truncate(nothing)
    assert path.read_bytes() == b""


def test_a_torn_last_line_does_not_spoil_the_next(path: Path):
    Journal(path).observe(epoch(1))
    with path.open("a") as file:
        file.write('{"event": "epoch", "epoch": 2}')  # whole, but for the end of the line
    assert [row["epoch"] for row in read_journal(path)] == [1]
    Journal(path).observe(epoch(3))
    assert [row["epoch"] for row in read_journal(path)] == [1, 3]


@pytest.mark.parametrize(
    "change", [lambda rows: rows[:-1], lambda rows: rows.replace(b"1", b"2"), lambda rows: b""]
)
def test_a_file_that_does_not_fit_the_checkpoint_is_refused(path: Path, change: Callable[[bytes], bytes]):
    journal = Journal(path)
    journal.observe(epoch(1))
    position = journal.position()
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(Damaged, match=r"metrics\.jsonl: does not fit the checkpoint"):
        Journal(path).truncate(position)


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(path: Path):
    path.write_text('{"event": "phase"}\n[1, 2]\n{"event": "epoch"}\n')
    with pytest.raises(KdzooError, match=r"metrics\.jsonl, line 2"):
        read_journal(path)


def test_a_missing_file_is_an_error_that_names_it(path: Path):
    with pytest.raises(KdzooError, match=r"metrics\.jsonl: cannot be read \(No such file"):
        read_journal(path)


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path: Path):
    """Root may write into any folder, so a folder that is none stands for one that is read-only."""
    (tmp_path / "run").write_text("a file")
    path = tmp_path / "run" / "metrics.jsonl"
    with pytest.raises(KdzooError, match=r"run/metrics\.jsonl: cannot write the metrics"):
        Journal(path).observe(epoch(1))


def test_a_full_disk_is_an_error_that_names_the_file(path: Path):
    """A limit on the size of files fails a write as a full disk does: in the middle of a row."""
    script = """
import resource, signal, sys
from pathlib import Path
from kdzoo.api import EpochEnded, KdzooError
from kdzoo.observers.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
journal.observe(EpochEnded("distill", 1, {}))
resource.setrlimit(resource.RLIMIT_FSIZE, (journal.position()[0] + 20,) * 2)
try:
    journal.observe(EpochEnded("distill", 2, {}))
except KdzooError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{path}: cannot write the metrics of the run (File too large)")
    assert [row["epoch"] for row in read_journal(path)] == [1]
