"""Effects of the methods on digits. `make effects` runs them over several seeds.

The margin of `rkd` held over ten seeds, those of the others over three: python benchmarks/effects.py --seeds 10
"""

import pytest
import torch
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from kdzoo_relation.functional import channel_correlations, fsp_matrix
from kdzoo_relation.functional.vectors import unit

ALONE = {"algorithm.task_weight": 0.0}
SLOW = pytest.mark.slow


def neighbours(one):
    """Accuracy in percent of the 5 nearest neighbours among 50 labelled embeddings; mean over ten draws."""
    embedding = one.answer("student", embedding=True).embedding
    target = torch.cat([batch.target for batch in one.run.data.test])
    draws = StratifiedShuffleSplit(n_splits=10, train_size=50, random_state=0)
    scores = cross_val_score(KNeighborsClassifier(5), embedding.numpy(), target.numpy(), cv=draws)
    return 100 * float(scores.mean())


def untaught(experiment):
    """Random weights: one epoch without labels settles the BatchNorm statistics only."""
    return neighbours(experiment("baseline", epochs=1, labels_per_class=0))


def likeness(ours, theirs):
    """Mean cosine of what is peculiar to an image: its relations less the average over all images."""
    ours, theirs = ((side - side.mean(dim=0)).flatten(1) for side in (ours, theirs))
    return torch.nn.functional.cosine_similarity(ours, theirs).mean().item()


def connected(one, *stages):
    """Both networks' maps of the test images, the student's behind the connectors."""
    connectors = one.run.connectors["student", "teacher"].module.connectors.eval()
    with torch.no_grad():
        ours = one.answer("student", *stages).features
        return (
            [connector(feature) for connector, feature in zip(connectors, ours, strict=True)],
            list(one.answer("teacher", *stages).features),
        )


@pytest.mark.slow
def test_relations_alone_make_an_embedding(experiment, beats):
    """`rkd` alone, without labels or logits, against random weights"""
    rkd = experiment("rkd", epochs=10, labels_per_class=0, **ALONE)
    beats("5-NN accuracy, %", neighbours(rkd), untaught(experiment), by=15)


@pytest.mark.parametrize("method", ["sp", pytest.param("cc", marks=SLOW), pytest.param("pkt", marks=SLOW)])
def test_similarities_alone_make_an_embedding(experiment, beats, method):
    """`sp`, `cc` and `pkt` alone on embeddings, without labels or logits, against random weights"""
    settings = {"knowledge.stages": ()} if method == "sp" else {}
    one = experiment(method, epochs=6, labels_per_class=0, **ALONE, **settings)
    beats(f"5-NN accuracy of `{method}`, %", neighbours(one), untaught(experiment), by=15)


@pytest.mark.slow
@pytest.mark.parametrize("bank", [True, False])
def test_telling_answers_apart_makes_an_embedding(experiment, beats, bank):
    """`crd` alone, without labels or logits, with and without its bank, against random weights"""
    one = experiment("crd", epochs=8, labels_per_class=0, **ALONE, **{"knowledge.bank": bank})
    name = "with" if bank else "without"
    beats(f"5-NN accuracy {name} the bank, %", neighbours(one), untaught(experiment), by=7)


def flow(one):
    """How like the teacher's the student's flow between its deeper two stages is."""
    ours, theirs = connected(one, -4, -3, -2)
    return likeness(fsp_matrix(*ours[1:]), fsp_matrix(*theirs[1:]))


def correlations(one):
    """How like the teacher's the student's channel correlations are."""
    ours, theirs = (unit(channel_correlations(side[0])) for side in connected(one, -2))
    return likeness(ours, theirs)


@pytest.mark.slow
def test_the_flow_between_stages_is_learned(experiment, beats):
    """`fsp`'s first phase, which sees no label, against random weights"""
    settings = {"labels_per_class": 0, "algorithm.fraction": 0.9}
    fsp = experiment("fsp", epochs=7, **settings)
    control = experiment("fsp", epochs=2, **settings, **{"optim.lr": 1e-9})
    beats("cosine of what is peculiar to an image's flow", flow(fsp), flow(control), by=0.2)


@pytest.mark.slow
def test_the_correlations_of_channels_are_learned(experiment, beats):
    """`ickd` alone, without labels or logits, against random weights"""
    ickd = experiment("ickd", epochs=6, labels_per_class=0, **ALONE)
    control = experiment("ickd", epochs=1, labels_per_class=0, **ALONE, **{"optim.lr": 1e-9})
    measure = "cosine of what is peculiar to an image's correlations"
    beats(measure, correlations(ickd), correlations(control), by=0.09)
