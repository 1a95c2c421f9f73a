"""Killed with SIGKILL at a random moment and resumed, a run ends with the weights of one never interrupted."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.writing import write
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

CHILD = Path(__file__).with_name("child.py")


FAMILIES = {
    "kd": {},
    "dml": {},
    "gan-supplement": {"algorithm.width": 4},
    "fast": {
        "algorithm.steps": 8,
        "algorithm.width": 4,
        "algorithm.student_steps": 2,
        "algorithm.warmup": 2,
        "roles.teacher.trust": True,
    },
    "qkd": {},
    "icarl": {"algorithm.tasks": 3},
    "sandwich": {
        "roles.student.model": "test_resnet",
        "algorithm.population": 3,
        "algorithm.generations": 2,
    },
}
"""A method of each family that trains in a way of its own, and what makes it short."""


def outcome(folder: Path) -> str:
    """The hash of the exported student's weights."""
    found: str = json.loads((folder / "provenance.json").read_text())["student_hash"]
    return found


def families() -> list[object]:
    """kd in every run of the tests, the others in those with the slow ones."""
    return [pytest.param(one, marks=[] if one == "kd" else pytest.mark.slow) for one in FAMILIES]


@pytest.mark.parametrize("method", families())
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(method, small_recipe, tmp_path):
    job = small_recipe(method, **FAMILIES[method])
    started = time.monotonic()
    whole = train(job, tmp_path / "whole", zoo=Zoo())
    seconds = time.monotonic() - started

    seed = random.randrange(10**6)
    write(job, tmp_path / "recipe.yaml")
    process = subprocess.Popen(
        [sys.executable, CHILD, "train", tmp_path / "recipe.yaml", tmp_path / "killed"]
    )
    checkpoint = tmp_path / "killed" / "checkpoint" / "last.ckpt"
    while not checkpoint.exists():
        assert process.poll() is None, "the child ended before it was killed"
        time.sleep(0.002)
    time.sleep(random.Random(seed).uniform(0, 0.5 * seconds))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    resumed = train(job, tmp_path / "killed", zoo=Zoo(), resume=True)
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole"), f"seed of the moment: {seed}"
    for key, value in whole.items():
        if key.startswith(("test/", "val/", "epoch/")):
            assert resumed[key] == value, key
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")


def metrics(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """What each epoch measured, times aside."""
    rows = [row for row in read_journal(folder / "metrics.jsonl") if row["event"] == "epoch"]
    return [
        (row["epoch"], {key: value for key, value in row["metrics"].items() if key != "seconds"})
        for row in rows
    ]


def test_a_finished_run_is_not_run_again(small_recipe, tmp_path):
    job = small_recipe("baseline", epochs=1)
    first = train(job, tmp_path / "run", zoo=Zoo())
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert train(job, tmp_path / "run", zoo=Zoo(), resume=True) == first
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_the_resolved_recipe_runs_again_to_the_same_weights(small_recipe, tmp_path):
    job = small_recipe("kd", epochs=1)
    train(job, tmp_path / "first", zoo=Zoo())
    zoo = Zoo()
    again = resolve(zoo=zoo, registry=load_registry(zoo), file=tmp_path / "first" / "recipe.yaml")
    train(again, tmp_path / "second", zoo=zoo)
    assert outcome(tmp_path / "first") == outcome(tmp_path / "second")
    other = again.model_copy(update={"seed": 1})
    train(other, tmp_path / "third", zoo=zoo)
    assert outcome(tmp_path / "third") != outcome(tmp_path / "first")
