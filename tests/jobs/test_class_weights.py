"""The class weights of a recipe reach the task loss, or a warning says that they do not."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from kdzoo.engine.listeners import Listener
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

ZOO = Zoo()
REGISTRY = load_registry(ZOO)


@pytest.fixture
def folder(tmp_path):
    """Nine training images of one class, three of the other."""
    pixels = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3), np.uint8)
    for number, one in enumerate(pixels):
        place = tmp_path / "images" / "train" / ("few" if number < 3 else "many")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(place / f"{number}.png")
    shutil.copytree(tmp_path / "images" / "train", tmp_path / "images" / "test")
    return tmp_path / "images"


class Steps(Listener):
    """Keeps each batch, what the student answered, and the recorded losses."""

    def __init__(self):
        self.logits, self.steps = None, []

    def seen(self, run, role, batch, output):
        if role == "student":
            self.logits = output.logits.detach()

    def step_ended(self, run, batch, figures, moment):
        self.steps.append((batch, figures, self.logits))


def run(folder, place, algorithm="distill", **settings):
    given = {
        "data.data_dir": folder, "data.batch_size": 12, "data.val_fraction": 0, "observers": [], "epochs": 1,
        "data.class_weights": "balanced", "roles.student.model": "test_vit",
        "algorithm.name": algorithm, **settings,
    }  # fmt: skip
    recipe = resolve(zoo=ZOO, registry=REGISTRY, method="baseline", layers=[Layer("test", dotted(given))])
    first = Steps()
    train(recipe, place, zoo=ZOO, listeners=[first])
    rows = read_journal(place / "metrics.jsonl")
    return first.steps, [row["message"] for row in rows if row["event"] == "warning"]


def test_the_task_loss_is_torch_s_with_balanced_weights(folder, tmp_path):
    ((batch, figures, logits),), warnings = run(folder, tmp_path / "run")
    weights = torch.tensor([12 / (2 * 3), 12 / (2 * 9)])
    expected = functional.cross_entropy(logits, batch.target, weights)
    assert figures["task"].item() == pytest.approx(expected.item(), abs=1e-5)
    assert abs(expected - functional.cross_entropy(logits, batch.target)) > 1e-4
    assert not [one for one in warnings if "class_weights" in one]


def test_an_algorithm_with_a_task_loss_of_its_own_is_told(folder, tmp_path):
    _, warnings = run(folder, tmp_path / "run", "timm-task", **{"roles.teacher.model": "test_vit"})
    assert "data.class_weights had no effect: algorithm 'timm-task' has a task loss of its own" in warnings
