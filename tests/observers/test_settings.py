"""Settings of observers, the figures of steps that they ask for, and observers that are missing on resume."""

import json
from pathlib import Path

import pytest

from kdzoo.engine.listeners import Moment
from kdzoo.engine.reporter import Reporter
from kdzoo.errors import KdzooError
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.layers import Layer, parse_set
from kdzoo.recipe.writing import dump
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo
from kdzoo.zoo.plugin import installed
from tests.conftest import Install

SOURCE = """
import json
from pathlib import Path
from pydantic import PositiveInt
from kdzoo.api import Observer, RunStarted, StepFigures, hookimpl

class Steps(Observer):
    name = "steps"

    def __init__(self, file: Path, every: PositiveInt | None = None):
        self.file, self.figures_every = file, every

    def observe(self, event):
        if isinstance(event, StepFigures):
            with self.file.open("a") as file:
                file.write(json.dumps([event.phase, event.epoch, event.step, event.metrics]) + "\\n")

@hookimpl
def kdzoo_observers():
    return {"steps": "kdzoo_steps:Steps"}
"""

SMALL = [
    "roles.student.model=test_efficientnet",
    "data.train_per_class=3",
    "data.test_per_class=1",
    "data.val_fraction=0",
    "data.batch_size=10",
    "epochs=2",
]


def recipe(*assign, resuming=False, file=None):
    zoo = Zoo(installed())
    layers = [Layer("--set", parse_set([*([] if file else SMALL), *assign]))]
    method = None if file else "baseline"
    return zoo, resolve(
        zoo=zoo, registry=load_registry(zoo), method=method, file=file, layers=layers, resuming=resuming
    )


@pytest.fixture
def steps(install: Install, tmp_path: Path) -> Path:
    install("kdzoo-steps", SOURCE)
    return tmp_path / "steps.jsonl"


@pytest.mark.parametrize(
    "assign",
    [
        ["observers=[console, {name: steps, every: 4, file: FILE}]"],
        ["observers=[console, steps]", "observers.steps.every=4", "observers.steps.file=FILE"],
        ["observers=[console]", "observers.steps={every: 4, file: FILE}"],
    ],
    ids=["a list", "by name", "by name alone"],
)
def test_settings_by_list_and_by_name(steps, assign):
    layers = [Layer("--set", parse_set([one.replace("FILE", str(steps))])) for one in [*SMALL, *assign]]
    zoo = Zoo()
    found = resolve(zoo=zoo, registry=load_registry(zoo), method="baseline", layers=layers)
    assert dump(found)["observers"] == ["console", {"name": "steps", "every": 4, "file": str(steps)}]


def test_settings_are_added_to_the_usual_observers(steps):
    _, found = recipe(f"observers.steps.file={steps}")
    assert dump(found)["observers"] == ["console", "wandb", {"name": "steps", "file": str(steps)}]


@pytest.mark.parametrize(
    ("assign", "says"),
    [
        ("observers=[{name: steps, every: 0, file: x}]", r"--set: observers.steps.every \(steps\): .* not 0"),
        ("observers=[{name: steps, evry: 2}]", "unknown hyper-parameter 'evry' of observer 'steps'; did you"),
        ("observers.stpes.every=2", "unknown observer 'stpes'; did you mean steps"),
        ("observers=[console, console]", "observers: .*'console' twice"),
        ("observers.steps=3", "observers.steps: expected keys such as observers.steps.KEY"),
        ("observers=[{every: 3}]", "observers: expected names, or mappings with a name, not"),
    ],
)
def test_bad_settings_are_refused(steps, assign, says):
    with pytest.raises(KdzooError, match=says):
        recipe(assign)


def test_the_figures_of_every_fourth_step(steps, tmp_path):
    zoo, asked = recipe(f"observers=[{{name: steps, every: 4, file: {steps}}}]")
    result = train(asked, tmp_path / "asked", zoo=zoo)
    rows = [json.loads(line) for line in steps.read_text().splitlines()]
    assert [row[:3] for row in rows] == [["distill", 2, 4]], "three steps an epoch, counted over the run"
    (metrics,) = (row[3] for row in rows)
    assert set(metrics) == {"train/task", "train/teach", "lr"}
    assert 0 < metrics["train/task"] < 10

    _, alone = recipe("observers=[]")
    assert train(alone, tmp_path / "alone", zoo=zoo)["test/last"] == result["test/last"]
    keys = [json.loads((tmp_path / name / "provenance.json").read_text()) for name in ("asked", "alone")]
    assert keys[0]["identity"] == keys[1]["identity"], "observers decide no number"
    assert keys[0]["student_hash"] == keys[1]["student_hash"]


def test_a_run_goes_on_without_an_observer_that_is_not_installed(tmp_path):
    zoo, found = recipe("observers=[]")
    folder = tmp_path / "run"
    train(found, folder, zoo=zoo)
    rows = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_bytes(b"".join(rows[:-1]))
    values = (folder / "recipe.yaml").read_text()
    assert "observers: []" in values
    (folder / "recipe.yaml").write_text(
        values.replace("observers: []", "observers: [{name: gone, every: 3}]")
    )

    with pytest.raises(KdzooError, match="unknown observer 'gone'"):
        recipe(file=folder / "recipe.yaml")
    with pytest.raises(KdzooError, match="unknown observer 'gnoe'"):
        recipe("observers=[gnoe]", file=folder / "recipe.yaml", resuming=True)
    zoo, resumed = recipe(file=folder / "recipe.yaml", resuming=True)
    train(resumed, folder, zoo=zoo, resume=True)
    rows = read_journal(folder / "metrics.jsonl")
    (warning,) = (row["message"] for row in rows if row["event"] == "warning")
    assert warning.startswith("goes on without the observer 'gone': unknown observer 'gone'")
    assert rows[-1]["event"] == "result"
    assert "name: gone" in (folder / "recipe.yaml").read_text(), "for the next time, when it may be there"


class Held:
    """A figure that may not be read: reading it would make the host wait for the device."""

    def detach(self):
        raise AssertionError("the figures were read, and nobody asked")


def test_figures_are_not_read_unless_somebody_asks():
    told = []
    reporter = Reporter(told.append, wants_figures=lambda step: step == 5)
    reporter.step_ended(None, None, {"task": Held()}, Moment("distill", 1, 4, 4))
    with pytest.raises(AssertionError, match="nobody asked"):
        reporter.step_ended(None, None, {"task": Held()}, Moment("distill", 1, 5, 5))
    assert [type(event).__name__ for event in told] == ["StepsDone"]
