"""Effects of the methods on digits. `make effects` runs them over several seeds.

The teacher reads scanned digits, the student heat maps computed from them: dark and blurred where there is an edge.
The margins are at most half of the least difference that was seen over two seeds, rounded.
"""

from dataclasses import replace

import pytest

from kdzoo.builtin.distill import Distill

HEAT = {"data.computed.heat": "heat", "roles.student.modality": "heat"}
EPOCHS = 12


@pytest.fixture
def labels_alone(experiment):
    return experiment("baseline", epochs=EPOCHS, labels_per_class=5, **HEAT)


class Mispaired:
    """Training batches in which each image comes with its neighbour's heat map."""

    def __init__(self, data):
        self._data = data

    def __len__(self):
        return len(self._data)

    def set_epoch(self, epoch, start=0):
        self._data.set_epoch(epoch, start)

    def __iter__(self):
        for batch in self._data:
            yield replace(batch, inputs={**batch.inputs, "heat": batch.inputs["heat"].roll(1, 0)})


class Mispairing(Distill):
    """Distils on wrong pairs."""

    def phases(self, run):
        for phase in super().phases(run):
            # The teacher's own training is left as it is.
            yield replace(phase, data=Mispaired(phase.data)) if "teacher" in run.roles else phase


@pytest.fixture
def shuffled(experiment):
    """The label-free run of a method in which each image of a batch comes with its neighbour's heat map."""

    def run(method):
        return experiment(method, Mispairing, epochs=EPOCHS, labels_per_class=0, **HEAT)

    return run


@pytest.mark.slow
def test_features_of_pairs_replace_labels(experiment, beats, labels_alone):
    """`transfer` to another modality, 1,257 unlabelled pairs, against 50 labels"""
    transfer = experiment("transfer", epochs=EPOCHS, labels_per_class=0, **HEAT)
    beats("accuracy, %", transfer.accuracy, labels_alone.accuracy, by=18)
    assert transfer.accuracy > 90


@pytest.mark.slow
def test_features_need_right_pairs(experiment, beats, shuffled):
    """`transfer` to another modality, no labels, against shuffled pairs"""
    transfer = experiment("transfer", epochs=EPOCHS, labels_per_class=0, **HEAT)
    beats("accuracy, %", transfer.accuracy, shuffled("transfer").accuracy, by=40)


@pytest.mark.slow
def test_logits_of_pairs_replace_labels(experiment, beats, labels_alone):
    """`cmkd` to another modality, 1,257 unlabelled pairs, against 50 labels"""
    cmkd = experiment("cmkd", epochs=EPOCHS, labels_per_class=0, **HEAT)
    beats("accuracy, %", cmkd.accuracy, labels_alone.accuracy, by=18)
    assert cmkd.accuracy > 90


@pytest.mark.slow
def test_transferred_features_help_a_few_labels(experiment, beats, labels_alone):
    """`transfer-finetune` to another modality, then 50 labels, against 50 labels"""
    tuned = experiment("transfer-finetune", epochs=EPOCHS, labels_per_class=5, **HEAT)
    beats("accuracy, %", tuned.accuracy, labels_alone.accuracy, by=10)
