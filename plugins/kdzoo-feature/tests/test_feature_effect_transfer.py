"""Effects of nst, ab, ft, mgd and the two phases of fitnet on digits.

The margins are about half of the least difference over three seeds: python benchmarks/effects.py --seeds 3
"""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

PHASES = {"epochs": 16, "labels_per_class": 5, "algorithm.fraction": 0.75}


def fifty_labels(experiment):
    """As many steps as 8 epochs of all images have, each on all of the 50 labelled ones."""
    return experiment("baseline", epochs=8 * 19, train_per_class=5)


def untaught(experiment):
    """Random weights; one epoch without labels settles the BatchNorm statistics and nothing else."""
    return experiment("baseline", epochs=1, labels_per_class=0)


def probe(one):
    """Accuracy in percent of a linear classifier on 50 labelled embeddings; mean over ten draws."""
    embedding = one.answer("student", embedding=True).embedding
    target = torch.cat([batch.target for batch in one.run.data.test])
    draws = StratifiedShuffleSplit(n_splits=10, train_size=50, random_state=0)
    linear = LogisticRegression(max_iter=1000)
    return 100 * float(cross_val_score(linear, embedding.numpy(), target.numpy(), cv=draws).mean())


def affinities(one, role):
    """(B, N): which pixels of an image's map show the same channels, less what all images have in common."""
    patterns = torch.nn.functional.normalize(one.answer(role, -3).features[0].flatten(2), dim=2)
    same = (patterns.mT @ patterns / patterns.shape[1]).flatten(1)
    return same - same.mean(dim=0)


@pytest.mark.slow
def test_hints_first_then_few_labels(experiment, beats):
    """`fitnet-two-phase`: hints without labels, then 50 labels, against 50 labels alone"""
    hints = {"knowledge.stages": (-1,), "algorithm.soft_weight": 0.0}
    fitnet = experiment("fitnet-two-phase", **PHASES, **hints)
    beats("accuracy, %", fitnet.accuracy, fifty_labels(experiment).accuracy, by=5)


@pytest.mark.slow
def test_boundaries_are_taken_over(experiment, beats):
    """`ab`'s first phase alone, without labels or logits, against each neuron's commoner state"""
    # The second phase, of one epoch, has no label to learn from.
    ab = experiment("ab", epochs=9, labels_per_class=0, **{"algorithm.fraction": 0.9})
    connector = ab.run.connectors["student", "teacher"].module.connectors[-1].eval()
    student, teacher = (ab.answer(role, -1).features[0] for role in ("student", "teacher"))
    with torch.no_grad():
        active, wanted = connector(student) > 0, teacher > 0
    agreement = (active == wanted).float().mean().item()
    share = wanted.float().mean(dim=0)
    commoner = torch.maximum(share, 1 - share).mean().item()
    beats("right states of the deepest stage's neurons, %", 100 * agreement, 100 * commoner, by=15)
    beats("accuracy of a probe on 50 labels, %", probe(ab), probe(untaught(experiment)), by=10)


@pytest.mark.slow
def test_factors_alone_make_an_embedding(experiment, beats):
    """`ft` alone, without labels or logits, against random weights"""
    ft = experiment("ft", epochs=8, labels_per_class=0, **{"algorithm.task_weight": 0.0})
    beats("accuracy of a probe on 50 labels, %", probe(ft), probe(untaught(experiment)), by=5)


@pytest.mark.slow
def test_generating_from_holes_alone_makes_an_embedding(experiment, beats):
    """`mgd` alone, without labels or logits, against random weights"""
    settings = {"algorithm.task_weight": 0.0, "knowledge.stages": (-2, -1)}
    mgd = experiment("mgd", epochs=6, labels_per_class=0, **settings)
    beats("accuracy of a probe on 50 labels, %", probe(mgd), probe(untaught(experiment)), by=10)


@pytest.mark.slow
def test_patterns_are_taken_over(experiment, beats):
    """`nst` alone, without labels or logits, against random weights"""
    nst = experiment("nst", epochs=8, labels_per_class=0, **{"algorithm.task_weight": 0.0})

    def likeness(one):
        pair = torch.stack([affinities(one, role).flatten() for role in ("student", "teacher")])
        return torch.corrcoef(pair)[0, 1].item()

    # Without distillation the run has no teacher; the teacher of the other run is the same.
    control = torch.stack([affinities(untaught(experiment), "student"), affinities(nst, "teacher")])
    random = torch.corrcoef(control.flatten(1))[0, 1].item()
    beats("correlation of pixel affinities with the teacher's", likeness(nst), random, by=0.2)
