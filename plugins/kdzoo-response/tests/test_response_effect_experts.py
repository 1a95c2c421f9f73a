"""Soft labels from a file, on digits. `make effects` runs this over several seeds."""

import csv

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

CLASSES = 10


@pytest.fixture(scope="module")
def truth():
    """The class of each training image."""
    targets = load_digits(return_X_y=True)[1]
    return train_test_split(targets, test_size=0.3, random_state=0, stratify=targets)[0]


def spread(said, likely=0.9):
    """Experts who are 90% sure of what they say."""
    table = np.full((len(said), CLASSES), (1 - likely) / (CLASSES - 1))
    table[np.arange(len(said)), said] = likely
    return table


@pytest.mark.slow
def test_experts_are_the_teacher(experiment, beats, truth, tmp_path_factory):
    """`expert-labels` from a shuffled table, no label, against experts who speak of other images"""
    folder = tmp_path_factory.mktemp("experts")
    order, columns = (
        np.random.RandomState(seed).permutation(n) for seed, n in ((0, len(truth)), (1, CLASSES))
    )
    table = spread(truth)
    with (folder / "right.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *columns])
        writer.writerows([f"digits train {row}", *table[row, columns]] for row in order)
    np.save(folder / "mixed.npy", table[order])
    only = {"labels_per_class": 0, "epochs": 8}
    right = experiment("expert-labels", **only, **{"scheme.labels": str(folder / "right.csv")})
    mixed = experiment("expert-labels", **only, **{"scheme.labels": str(folder / "mixed.npy")})
    beats("accuracy, %", right.accuracy, mixed.accuracy, by=50)


@pytest.mark.slow
def test_wsld_hears_less_of_experts_who_are_wrong(experiment, beats, truth, tmp_path_factory):
    """`wsld` from experts of whom six in ten say the next class, beside true labels, against `kd`"""
    wrong = np.random.RandomState(0).rand(len(truth)) < 0.6
    path = tmp_path_factory.mktemp("wrong") / "labels.npy"
    np.save(path, spread(np.where(wrong, (truth + 1) % CLASSES, truth), likely=0.99))
    from_them = {
        "scheme": "experts",
        "scheme.labels": str(path),
        "algorithm.task_weight": 0.1,
        "algorithm.teach_weight": 0.9,
        "knowledge.temperature": 1.0,
        "epochs": 8,
    }
    wsld, kd = (experiment(name, **from_them) for name in ("wsld", "kd"))
    beats("accuracy, %", wsld.accuracy, kd.accuracy, by=20)
