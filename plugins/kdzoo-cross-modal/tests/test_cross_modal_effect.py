"""What the methods are good for, on digits. `make effects` runs this over several seeds.

The teacher reads scanned digits, the student heat maps computed from them: dark and blurred where there is an edge.
The margins are at most half of the least difference that was seen over two seeds, rounded.
"""

from dataclasses import replace

import pytest

from kdzoo.data.stream import TrainStream

HEAT = {"data.computed.heat": "heat", "roles.student.modality": "heat"}
EPOCHS = 12


@pytest.fixture
def labels_alone(experiment):
    return experiment("baseline", epochs=EPOCHS, labels_per_class=5, **HEAT)


@pytest.fixture
def shuffled(experiment):
    """The label-free run of a method in which each image of a batch comes with its neighbour's heat map."""

    def run(method):
        original = TrainStream.__iter__

        def mispaired(stream):
            for batch in original(stream):
                yield replace(batch, inputs={**batch.inputs, "heat": batch.inputs["heat"].roll(1, 0)})

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainStream, "__iter__", mispaired)
            # another number of workers, so that it is not taken for the run with right pairs
            return experiment(method, epochs=EPOCHS, labels_per_class=0, workers=1, **HEAT)

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


def test_transferred_features_help_a_few_labels(experiment, beats, labels_alone):
    """`transfer-finetune` to another modality, then 50 labels, against 50 labels"""
    tuned = experiment("transfer-finetune", epochs=EPOCHS, labels_per_class=5, **HEAT)
    beats("accuracy, %", tuned.accuracy, labels_alone.accuracy, by=10)
