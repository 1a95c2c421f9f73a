"""Every method of the registry: interrupted at a random step and resumed, it ends as if nothing had happened."""

import json
import random

import pytest

from kdzoo.engine.run import TrainingRun
from kdzoo.engine.train import train
from kdzoo.registry.load import load_registry
from kdzoo.zoo import Zoo

ZOO = Zoo()
REGISTRY = load_registry(ZOO)
NEEDS = {
    "expert-labels": None,  # a table of the user's own; it only derives a teacher from a file
    "vit-attention": {
        "roles.student.model": "test_vit",
        "roles.teacher.model": "test_vit",
        "roles.teacher.checkpoint": None,
    },
    "catkd": {"roles.student.img_size": 64, "roles.teacher.img_size": 64},
    # Generators: fewer and smaller steps than a data set's worth.
    "dafl": {"algorithm.steps": 3, "algorithm.width": 4},
    "zskt": {"algorithm.steps": 3, "algorithm.width": 4, "algorithm.student_steps": 2},
    "dfq": {"algorithm.steps": 3, "algorithm.width": 4, "algorithm.student_steps": 2},
    "fast": {
        "algorithm.steps": 3,
        "algorithm.width": 4,
        "algorithm.student_steps": 2,
        "algorithm.warmup": 2,
        "algorithm.inner_steps": 2,
    },
    # The search needs a student whose widths and depths are arguments of timm.create_model.
    "diswot": {
        "roles.student.model": "test_resnet",
        "algorithm.population": 3,
        "algorithm.generations": 2,
    },
    "dna": {"roles.student.model": "test_resnet", "algorithm.widths": (0.5, 1.0), "algorithm.batches": 1},
    "sandwich": {
        "roles.student.model": "test_resnet",
        "algorithm.population": 3,
        "algorithm.generations": 2,
    },
    "deepinversion": {"algorithm.batches": 2, "algorithm.batch_size": 4, "algorithm.steps": 4},
    "ptq-distill": {
        "roles.student.model": "test_resnet",
        "algorithm.images": 16,
    },  # it rounds the teacher itself
    "int8": {"algorithm.latency_runs": 0},
}
"""What a method needs beyond the small recipe."""

METHODS = [
    name
    for name, method in REGISTRY.methods.items()
    if ZOO.has(method.package) and NEEDS.get(name, {}) is not None
]


class Interrupted(BaseException):
    """As Ctrl-C, at a step of our choice."""


def weights(folder):
    return json.loads((folder / "provenance.json").read_text())["student_hash"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_resumes_bit_for_bit(method, small_recipe, tmp_path, monkeypatch):
    recipe = small_recipe(
        method, epochs=2, **{"data.train_per_class": 4, "roles.teacher.epochs": 1, **NEEDS.get(method, {})}
    )
    steps = 0
    stop_at = 0
    end_step = TrainingRun.end_step

    def counting(run):
        nonlocal steps
        end_step(run)
        steps += run.recipe.method is not None  # a teacher's own training is another run
        if steps == stop_at and run.recipe.method is not None:
            raise Interrupted

    monkeypatch.setattr(TrainingRun, "end_step", counting)
    whole = train(recipe, tmp_path / "whole", zoo=ZOO)
    stop_at = steps + random.Random(method).randint(1, steps - 1)
    with pytest.raises(Interrupted):
        train(recipe, tmp_path / "again", zoo=ZOO)
    stop_at = 0
    resumed = train(recipe, tmp_path / "again", zoo=ZOO, resume=True)
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")
    for key, value in whole.items():
        if key.startswith(("test/", "val/")):
            assert resumed[key] == value, key
