import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console as Terminal

from kdzoo.api import (
    EpochEnded,
    Event,
    Job,
    PhaseStarted,
    Preparing,
    RunEnded,
    RunFailed,
    RunStarted,
    StepsDone,
    Warned,
)
from kdzoo.observers.console import Console, _Pace
from kdzoo.observers.next_steps import next_steps

METRICS = {"train/task": 1.23456, "train/teach": 0.5, "val/accuracy": 87.5, "lr": 0.0019, "seconds": 1.25}
FOLDER = Path("/a/folder/with/a/name/that/would/not/fit/into/eighty/columns/if/lines/were/broken")
RESULT = {
    "method": "kd", "test/last": 85.125, "val/last": None, "parameters": 1234567, "seconds": 75.0
}  # fmt: skip


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def play(terminal: Terminal, *events: Event) -> str:
    observer = Console(terminal)
    for event in events:
        observer.observe(event)
    observer.close()
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue()


def screen() -> Terminal:
    return Terminal(file=io.StringIO(), force_terminal=True, width=100, _environ={"TERM": "xterm-256color"})


def whole_run(epochs: int) -> list[Event]:
    return [
        RunStarted(FOLDER, Job("kd [big>small]"), {}, resumed=True),
        PhaseStarted("distill", epochs, 4),
        *(EpochEnded("distill", one + 1, METRICS) for one in range(epochs)),
        Warned("an image [of a cat] is missing"),
        RunEnded(FOLDER, RESULT),
    ]


def test_without_a_terminal_there_are_plain_lines():
    lines = play(Terminal(file=io.StringIO()), *whole_run(10)).splitlines()
    assert lines[0] == f"kd [big>small] in {FOLDER} (goes on from its checkpoint)"
    assert lines[1] == "distill  1/10  task 1.235  teach 0.5  val/accuracy 87.50 %  lr 0.0019  1.2 s"
    assert lines[10].startswith("distill 10/10 ")
    assert lines[11] == "warning: an image [of a cat] is missing"
    assert [line.split() for line in lines[12:15]] == [
        ["test/last", "85.12"],
        ["parameters", "1,234,567"],
        ["seconds", "75.00"],
    ]
    assert lines[15:] == [
        f"student in {FOLDER}/student",
        "next:",
        f"  kdzoo predict {FOLDER} PICTURES...",
        f"  kdzoo evaluate {FOLDER}",
        f"  kdzoo export {FOLDER} --to onnx",
        f"  kdzoo report {FOLDER}",
        f'  timm.create_model("local-dir:{FOLDER}/student", pretrained=True)',
    ]


@pytest.mark.parametrize(
    ("recipe", "result", "first", "last"),
    [
        ({}, {"test/last": None}, ["predict", "export", "report"], "timm.create_model"),
        (
            {"roles": {"student": {"modality": "edges"}}},
            {"test/last": 50.0, "files": {"model.pt2": ""}},
            ["report"],
            "torch.export.load",
        ),
    ],
)
def test_the_next_steps_are_those_that_the_student_allows(recipe, result, first, last):
    *commands, load = next_steps(Path("a run"), recipe, result)
    assert [one.split()[1] for one in commands] == first
    assert all("'a run'" in one for one in commands), "as a shell takes it"
    assert load.startswith(last)


def test_a_teacher_has_no_next_steps():
    events = [RunStarted(FOLDER, Job("resnet", "teacher"), {}), RunEnded(FOLDER, RESULT)]
    assert "next" not in play(Terminal(file=io.StringIO()), *events)


def test_it_writes_to_stderr_alone():
    script = """
from pathlib import Path
from kdzoo.api import Job, RunStarted
from kdzoo.observers.console import Console
Console().observe(RunStarted(Path("x"), Job("one"), {}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "one in x\n")


def test_a_terminal_has_a_bar_and_is_left_as_it_was():
    shown = play(screen(), *whole_run(2))
    assert "\x1b[?25l" in shown, "the cursor is hidden while there is a bar"
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "distill 2/2  task 1.235" in plain
    assert plain.rstrip().endswith("pretrained=True)")


@pytest.mark.parametrize("end", [RunFailed("ValueError: no"), None])
def test_a_run_that_stops_leaves_the_terminal_as_it_was(end: Event | None):
    shown = play(screen(), PhaseStarted("distill", 2, 4), *([end] if end else []))
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_the_time_left_is_told_by_the_steps_until_there_is_a_whole_epoch():
    clock = Clock()
    pace = _Pace(PhaseStarted("distill", epochs=5, steps=10, epoch=1), clock)
    assert pace.seconds_left is None
    clock.now, pace.step = 1006.0, 5  # half an epoch in 6 s: 3.5 epochs are left
    assert pace.seconds_left == pytest.approx(42)
    clock.now = 1020.0  # the rest of the epoch and its validation took 14 s
    pace.end_epoch()
    assert pace.done == 2
    assert pace.seconds_left == pytest.approx(60)
    clock.now, pace.step = 1021.0, 5
    assert pace.seconds_left == pytest.approx(50)


def test_an_epoch_of_unknown_length_counts_when_it_is_over():
    clock = Clock()
    pace = _Pace(PhaseStarted("distill", epochs=3, steps=None), clock)
    pace.step = 100
    assert pace.seconds_left is None
    clock.now += 10
    pace.end_epoch()
    assert pace.seconds_left == pytest.approx(20)


def test_the_time_left_is_shown():
    clock = Clock()
    terminal = screen()
    observer = Console(terminal, clock)
    observer.observe(PhaseStarted("distill", epochs=101, steps=4))
    clock.now += 75
    observer.observe(EpochEnded("distill", 1, METRICS))
    observer.close()
    assert isinstance(terminal.file, io.StringIO)
    assert "2:05:00 left" in terminal.file.getvalue()


def test_a_second_phase_counts_from_one_again():
    lines = play(
        Terminal(file=io.StringIO()),
        PhaseStarted("search", 2, 4),
        StepsDone("search", 1, 2),
        EpochEnded("search", 1, {}),
        EpochEnded("search", 2, {}),
        PhaseStarted("retrain", 3, 4),
        EpochEnded("retrain", 3, {}),
    ).splitlines()
    assert [line.rstrip() for line in lines] == ["search 1/2", "search 2/2", "retrain 1/3"]


def test_a_log_has_the_time_left_after_some_steps_and_progress_now_and_then():
    clock, terminal = Clock(), Terminal(file=io.StringIO())
    observer = Console(terminal, clock)
    observer.observe(PhaseStarted("distill", 2, 1000))
    for step in range(1, 1001):
        clock.now += 0.2
        observer.observe(StepsDone("distill", 1, step))
    observer.observe(EpochEnded("distill", 1, {}))
    clock.now += 59
    observer.observe(StepsDone("distill", 2, 295))
    assert isinstance(terminal.file, io.StringIO)
    assert [line.rstrip() for line in terminal.file.getvalue().splitlines()] == [
        "distill 1/2  step 25 of 1,000  about 6:35 left",
        "distill 1/2  step 325 of 1,000  about 5:35 left",
        "distill 1/2  step 625 of 1,000  about 4:35 left",
        "distill 1/2  step 925 of 1,000  about 3:35 left",
        "distill 1/2",
        "distill 2/2  step 295 of 1,000  about 2:21 left",
    ]


def test_short_phases_and_first_steps_have_no_line_of_progress():
    clock, terminal = Clock(), Terminal(file=io.StringIO())
    observer = Console(terminal, clock)
    observer.observe(PhaseStarted("distill", 2, 4))
    for step in (1, 2):  # the first steps of a network are slow
        clock.now += 4
        observer.observe(StepsDone("distill", 1, step))
    observer.observe(PhaseStarted("second", 2, 4))
    for step in range(1, 5):
        clock.now += 1
        observer.observe(StepsDone("second", 1, step))
    assert isinstance(terminal.file, io.StringIO)
    assert terminal.file.getvalue() == ""


def test_a_log_has_the_progress_of_long_work():
    clock, terminal = Clock(), Terminal(file=io.StringIO())
    observer = Console(terminal, clock)
    for done in range(0, 5000, 10):
        clock.now += 0.2
        observer.observe(Preparing("decoding train", done, 5000))
    assert isinstance(terminal.file, io.StringIO)
    assert terminal.file.getvalue().splitlines() == [
        "decoding train: 240 of 5,000",
        "decoding train: 3,240 of 5,000",
    ]
