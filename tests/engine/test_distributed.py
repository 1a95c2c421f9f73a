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

METHODS = ("fitnet", "dml", "kd")
CHANGES = {
    "dml": {"model_ema.decay": 0.9, "optim.grad_accum_steps": 2},
    "kd": {"roles.teacher.checkpoint": None, "roles.teacher.epochs": 1},  # trains its teacher first
}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, small_recipe):
    folder = tmp_path_factory.mktemp("distributed")
    recipes = [folder / f"{method}.yaml" for method in METHODS]
    for method, path in zip(METHODS, recipes, strict=True):
        write(small_recipe(method, epochs=2, **CHANGES.get(method, {})), path)
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
    assert [process.wait(200) for process in processes] == [0, 0]
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
    (teacher,) = [path for path in (folder / "cache" / "teachers").iterdir() if path.is_dir()]
    assert json.loads((teacher / "provenance.json").read_text())["processes"] == 2
    assert json.loads((teacher / "identity.json").read_text())["fields"]["processes"] == 2


def test_one_process_writes_the_folder(ranks):
    folder, _ = ranks
    for method in METHODS:
        assert (folder / method / "student" / "model.safetensors").exists()
        provenance = json.loads((folder / method / "provenance.json").read_text())
        assert provenance["processes"] == 2
