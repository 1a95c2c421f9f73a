"""Effects of the methods on digits. `make effects` runs them over several seeds."""

from __future__ import annotations

import pytest

from kdzoo.engine.probe import linear, share_right
from kdzoo.jobs.probe import features

TRAINED = {"roles.teacher.train": "auto"}
"""The digits' teacher has no weights of its own: the experiment trains it, on all labels, and then forgets them."""


def probed(experiment, labelled):
    """A linear classifier on the student's features with the labels of another experiment's images, in percent."""
    student = experiment.run.roles["student"].eval()
    data = labelled.run.data
    shown = data.fetch((data.labels >= 0).nonzero().flatten(), view=None)
    bank, labels = features(student, [shown], "image")
    queries, truth = features(student, experiment.run.data.test, "image")
    return share_right(linear(queries, bank, labels), truth)


ALONE = {"labels_per_class": 0, "algorithm.task_weight": 0.0}
"""Of a method that has a task loss otherwise."""

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("features", TRAINED),
        pytest.param("features-dense", TRAINED, marks=SLOW),
        pytest.param("proteus", TRAINED, marks=SLOW),
        pytest.param("proxy", {**TRAINED, "roles.proxy.model": "test_resnet"}, marks=SLOW),
        pytest.param("queue", TRAINED, marks=SLOW),
        pytest.param("agglomerate-phi-s", TRAINED, marks=SLOW),
        pytest.param("srd", ALONE, marks=SLOW),
        pytest.param("vkd", ALONE, marks=SLOW),
    ],
)
def test_features_without_labels_stand_in_for_labels(method, settings, experiment, beats):
    """kdzoo-foundation: a linear classifier on label-free features and 20 labels, against the 20 labels alone"""
    taught = experiment(method, epochs=8, **settings)
    few = experiment("baseline", epochs=8 * 19, train_per_class=2)
    beats(f"accuracy by `{method}`, %", probed(taught, few), few.accuracy, by=10)
