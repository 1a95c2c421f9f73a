"""Figures of a network's predictions: by hand, and as scikit-learn computes them."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score, top_k_accuracy_score

from kdzoo.engine.confusion import confusion_picture
from kdzoo.engine.cost import latency, size
from kdzoo.engine.evaluate import accuracy
from kdzoo.engine.predictions import Predictions, count, predictions
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.testing.watch import KeepRun
from kdzoo.zoo import Zoo
from tests.jobs.runs import small

CLASSES = tuple("abcd")


def rows_of(*samples: tuple[float, ...]) -> torch.Tensor:
    """Class, predicted class, whether among the five, confidence, the teacher's: a sample a line."""
    return torch.tensor(samples, dtype=torch.float64).T


HAND = rows_of(
    (0, 0, 1, 0.90, 0),
    (0, 1, 1, 0.60, 1),
    (1, 1, 1, 0.62, 0),
    (2, -1, 0, 0.30, 2),  # predicted to be none of the data's classes
)


def test_figures_by_hand():
    found = Predictions(**count(HAND, 4))
    assert (found.accuracy, found.top5, found.agreement, found.teacher) == (50.0, 75.0, 50.0, 50.0)
    # F1 of a: 2/3, of b: 2/3, of c: 0; d is neither labelled nor predicted.
    assert found.macro_f1 == pytest.approx(100 * (4 / 3) / 3, abs=1e-12)
    # Bins of 1/15: 0.90 in the 14th, right; 0.60 closes the 9th, wrong; 0.62 in the 10th, right; 0.30 in the 5th.
    assert found.bins[0].nonzero().flatten().tolist() == [4, 8, 9, 13]
    assert found.ece == pytest.approx(100 * (0.10 + 0.60 + 0.38 + 0.30) / 4, abs=1e-12)
    assert found.by_class(CLASSES) == {
        "classes": [
            {"name": "a", "samples": 2, "accuracy": 50.0},
            {"name": "b", "samples": 1, "accuracy": 100.0},
            {"name": "c", "samples": 1, "accuracy": 0.0},
            {"name": "d", "samples": 0, "accuracy": None},
        ],
        "confusion": [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    }


def test_right_and_wrong_in_one_bin_cancel():
    """Half of the samples of confidence 0.5 are right: that is calibrated."""
    found = Predictions(**count(rows_of((0, 0, 1, 0.5, -1), (0, 1, 1, 0.5, -1)), 2))
    assert found.ece == 0.0
    assert Predictions(**count(rows_of((0, 0, 1, 1.0, -1)), 2)).ece == 0.0


def test_no_sample_is_no_error():
    found = Predictions(**count(torch.zeros(5, 0, dtype=torch.float64), 3))
    assert (found.accuracy, found.macro_f1, found.ece) == (None, None, None)


def test_many_classes_have_no_matrix():
    counts = count(rows_of((250, 3, 0, 0.5, 3), (3, 3, 1, 0.5, 3)), 300)
    assert counts["confusion"].shape == (0, 0)
    assert Predictions(**counts).accuracy == 50.0


@pytest.fixture(scope="module")
def trained(small_recipe, zoo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures") / "run"
    keep = KeepRun()
    result = train(small_recipe("kd", epochs=2), folder, zoo=zoo, listeners=[keep])
    return result, keep.run, folder


def test_figures_of_a_run_are_those_of_scikit_learn(trained):
    result, run, folder = trained
    logits: dict[str, list[torch.Tensor]] = {"student": [], "teacher": []}
    target = torch.cat([batch.target for batch in run.data.test]).numpy()
    with torch.no_grad():
        for batch in run.data.test:
            for role, parts in logits.items():
                parts.append(run.roles[role].eval()(batch.inputs["image"]).logits.double())
    student, teacher = (torch.cat(parts) for parts in logits.values())
    found, taught = student.argmax(1).numpy(), teacher.argmax(1).numpy()
    assert result["test/last"] == accuracy(run, "student", run.data.test)
    assert result["test/teacher"] == accuracy(run, "teacher", run.data.test)

    def same(key, expected):
        assert result[key] == pytest.approx(100 * expected, abs=1e-10), key

    probabilities = student.softmax(1).numpy()
    same("test/last", accuracy_score(target, found))
    same("test/top5", top_k_accuracy_score(target, probabilities, k=5, labels=range(10)))
    same("test/macro_f1", f1_score(target, found, average="macro"))
    same("test/agreement", accuracy_score(taught, found))
    confidence = probabilities.max(axis=1)
    edges = np.linspace(0, 1, 16)
    same(
        "test/ece",
        sum(
            abs((found[inside] == target[inside]).sum() - confidence[inside].sum())
            for low, high in itertools.pairwise(edges)
            if (inside := (confidence > low) & (confidence <= high)).any()
        )
        / len(target),
    )
    figures = json.loads((folder / "figures.json").read_text())
    matrix = confusion_matrix(target, found, labels=range(10))
    assert figures["confusion"] == matrix.tolist()
    assert [one["name"] for one in figures["classes"]] == list(run.data.classes)
    recall = recall_score(target, found, average=None, labels=range(10))
    assert [one["accuracy"] for one in figures["classes"]] == pytest.approx(list(100 * recall))


def test_the_picture_and_the_card_have_the_figures(trained):
    result, _, folder = trained
    [picture] = [row for row in read_journal(folder / "metrics.jsonl") if row["event"] == "picture"]
    assert (picture["name"], picture["epoch"]) == ("confusion", 2)
    with Image.open(folder / picture["path"]) as image:
        assert image.width > 10 * 40
    card = (folder / "student" / "README.md").read_text()
    assert f"| top-5 test accuracy | {result['test/top5']:.2f} % |" in card
    assert (
        f"| multiply-adds for one image of the teacher | {result['size/teacher/multiply_adds']:,} |" in card
    )


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_the_size_of_a_network(trained, role):
    result, run, _ = trained
    network, macs = run.roles[role].eval(), 0

    def add(module, _, answer):
        nonlocal macs
        macs += answer.numel() * module.weight[0].numel()

    hooks = [
        module.register_forward_hook(add)
        for module in network.modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    ]
    with torch.no_grad():
        network(torch.zeros(1, 1, run.data.img_size, run.data.img_size))
    for hook in hooks:
        hook.remove()
    assert result[f"size/{role}/multiply_adds"] == macs
    weights = sum(one.numel() for one in network.parameters())
    buffers = list(network.buffers())
    assert result[f"size/{role}/parameters"] == weights
    assert result[f"size/{role}/bytes"] == 4 * weights + sum(one.nbytes for one in buffers)
    assert result[f"latency/{role}_ms"] > 0


def test_predictions_leave_random_numbers_and_modes_alone(make_run):
    run = make_run("kd")
    before = torch.get_rng_state(), [module.training for module in run.roles["student"].modules()]
    found = predictions(run, run.data.test, None)
    size(run, "student")
    latency(run, "student")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert [module.training for module in run.roles["student"].modules()] == before[1]
    assert found.labels.sum() == 8


def test_the_colours_of_a_confusion_matrix():
    """Rows are true classes; the darkest cell has a whole row, a white one nothing."""
    picture = confusion_picture(torch.tensor([[0, 4], [0, 0]]), ("one", "two"))
    side, (height, width) = 40, picture.shape[2:]
    corner = height - 10 - 2 * side, width - 10 - 2 * side

    def cell(row, column):
        return (255 * picture[0, :, corner[0] + row * side + 2, corner[1] + column * side + 2]).tolist()

    assert cell(0, 1) == pytest.approx([8, 69, 148])
    assert cell(0, 0) == cell(1, 0) == cell(1, 1) == [255, 255, 255]


def test_the_size_of_a_vision_transformer(tmp_path):
    """Its class token is an argument of a module, which torch's counter refuses outside of a graph."""
    few = {"data.train_per_class": 2, "data.test_per_class": 2}
    recipe = small("baseline", **{"roles.student.model": "test_vit3", **few})
    result = train(recipe, tmp_path / "run", zoo=Zoo())
    assert result["size/student/multiply_adds"] > result["size/student/parameters"]
