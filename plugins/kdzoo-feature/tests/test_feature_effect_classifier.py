"""Effects of the methods on deep maps and on the teacher's classifier on digits.

`make effects` runs this over several seeds. The margins are half of the least difference over three.
"""

import pytest
import torch
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier


def labels(one):
    return torch.cat([batch.target for batch in one.run.data.test])


def neighbours(one):
    """Accuracy in percent of the 5 nearest neighbours among 50 labelled last maps; mean over ten draws."""
    maps = one.answer("student", -1).features[0].flatten(1)
    draws = StratifiedShuffleSplit(n_splits=10, train_size=50, random_state=0)
    scores = cross_val_score(KNeighborsClassifier(5), maps.numpy(), labels(one).numpy(), cv=draws)
    return 100 * float(scores.mean())


@pytest.mark.slow
def test_the_teachers_classifier_reads_the_student(experiment, beats):
    """`simkd` without labels or logits, within 3 points of its teacher, against a random classifier"""
    simkd = experiment("simkd", epochs=12, labels_per_class=0)
    answer = simkd.answer("student", embedding=True)
    drawn = torch.randn(answer.embedding.shape[1], 10, generator=torch.Generator().manual_seed(0))
    random = 100 * ((answer.embedding @ drawn).argmax(dim=1) == labels(simkd)).float().mean().item()
    beats("accuracy, %", simkd.accuracy, random, by=40)
    beats("accuracy, %, against the teacher's", simkd.accuracy, simkd.result["test/teacher"], by=-3)


@pytest.fixture
def untaught(experiment):
    return experiment("baseline", epochs=1, labels_per_class=0)  # settles the BatchNorm statistics only


@pytest.fixture
def alone(experiment):
    """alone("vid") trains with the knowledge and nothing else."""

    def run(method):
        return experiment(method, epochs=6, labels_per_class=0, **{"algorithm.task_weight": 0.0})

    return run


@pytest.mark.slow
def test_vid_alone_makes_a_representation(alone, untaught, beats):
    """`vid` alone, without labels or logits, against random weights"""
    beats("5-NN accuracy, %", neighbours(alone("vid")), neighbours(untaught), by=15)


@pytest.mark.slow
def test_ofd_alone_makes_a_representation(alone, untaught, beats):
    """`ofd` alone, without labels or logits, against random weights"""
    beats("5-NN accuracy, %", neighbours(alone("ofd")), neighbours(untaught), by=13)


@pytest.mark.slow
def test_reviewkd_alone_makes_a_representation(alone, untaught, beats):
    """`reviewkd` alone, without labels or logits, against random weights"""
    beats("5-NN accuracy, %", neighbours(alone("reviewkd")), neighbours(untaught), by=15)


@pytest.mark.slow
def test_srrl_alone_makes_a_representation(alone, untaught, beats):
    """`srrl` alone, without labels or logits, against random weights"""
    beats("5-NN accuracy, %", neighbours(alone("srrl")), neighbours(untaught), by=15)
