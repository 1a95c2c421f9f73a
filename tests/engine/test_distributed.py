"""Two processes (gloo) train connectors and peers, and end with equal weights."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kdzoo.recipe.writing import write

pytestmark = pytest.mark.slow  # two processes and nine runs

METHODS = ("fitnet", "dml", "kd")
CHANGES = {
    "dml": {"model_ema.decay": 0.9, "optim.grad_accum_steps": 2},
    "kd": {"roles.teacher.checkpoint": None, "roles.teacher.epochs": 1},  # trains its teacher first
}
FEW = {"data.train_per_class": 3, "data.test_per_class": 2, "data.batch_size": 4, "data.val_fraction": 0.3}
"""9 images for validation: two batches in one process, and one that is cut in two in the other."""
IN_PARTS = {
    "kd-whole": FEW,
    "fitnet-whole": FEW,
    "rkd-whole": {**FEW, "roles.teacher.model": "test_vit", "roles.teacher.checkpoint": None},
}
IN_PARTS |= {
    name.replace("whole", "parts"): {**changes, "roles.teacher.shard": True}
    for name, changes in IN_PARTS.items()
}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, small_recipe):
    folder = tmp_path_factory.mktemp("distributed")
    changes = {**{method: CHANGES.get(method, {}) for method in METHODS}, **IN_PARTS}
    recipes = [folder / f"{name}.yaml" for name in changes]
    for path in recipes:
        write(small_recipe(path.stem.partition("-")[0], epochs=2, **changes[path.stem]), path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = Path(__file__).with_name("child.py")
    processes = [
        subprocess.Popen(
            [sys.executable, child, "rank", str(rank), str(port), folder, *recipes],
            env={**os.environ, "KDZOO_CACHE": str(folder / "cache")},
        )
        for rank in (0, 1)
    ]
    assert [process.wait(400) for process in processes] == [0, 0]
    return folder, [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("method", METHODS)
def test_both_processes_hold_equal_weights(ranks, method):
    _, (first, second) = ranks
    assert first["weights"][method] == second["weights"][method]
    names = set(first["weights"][method])
    if method == "fitnet":
        assert names == {"student", "teacher", "knowledge/student<-teacher"}
    elif method == "dml":
        assert names >= {"student", "peer1", "knowledge/student<-peer1", "knowledge/peer1<-student"}
    assert first["accuracy"][method] == second["accuracy"][method]


def test_both_processes_reduce_a_tensor_to_the_same_one(ranks):
    _, (first, second) = ranks
    assert first["reduced"] == second["reduced"] == {"mean": 1.5, "sum": 3.0, "max": 2.0}


def test_figures_are_of_all_test_images(ranks):
    folder, (first, _) = ranks
    for method in METHODS:
        figures = json.loads((folder / method / "figures.json").read_text())
        matrix = torch.tensor(figures["confusion"])
        assert matrix.sum(1).tolist() == [one["samples"] for one in figures["classes"]] == [10] * 10
        assert first["accuracy"][method] == matrix.trace()


def test_a_teacher_that_both_need_is_trained_by_both_together(ranks):
    folder, _ = ranks
    (teacher,) = (folder / "cache" / "teachers").glob("test_resnet-*")
    assert json.loads((teacher / "provenance.json").read_text())["processes"] == 2
    assert json.loads((teacher / "identity.json").read_text())["fields"]["processes"] == 2


def test_one_process_writes_the_folder(ranks):
    folder, _ = ranks
    for method in METHODS:
        assert (folder / method / "student" / "model.safetensors").exists()
        provenance = json.loads((folder / method / "provenance.json").read_text())
        assert provenance["processes"] == 2


@pytest.mark.parametrize("name", [name for name in IN_PARTS if name.endswith("-parts")])
def test_a_teacher_in_parts_teaches_what_the_whole_one_does(ranks, name):
    """Bit for bit, in float32 on a CPU: the layers are the same ones, gathered while they compute."""
    folder, both = ranks
    whole = name.replace("parts", "whole")
    for told in both:
        assert told["weights"][name] == told["weights"][whole]
        assert told["accuracy"][name] == told["accuracy"][whole]
    first, second = (told["held"][name] for told in both)
    assert first < 0.6 * both[0]["held"][whole], "each has a part"
    assert first + second >= both[0]["held"][whole], "together they have all"
    results = [
        json.loads((folder / one / "metrics.jsonl").read_text().splitlines()[-1]) for one in (name, whole)
    ]
    parts, whole_one = (one["result"] for one in results)
    assert parts["test/agreement"] == whole_one["test/agreement"]
    assert "latency/teacher_ms" not in parts
    assert parts["size/teacher/parameters"] == whole_one["size/teacher/parameters"]
