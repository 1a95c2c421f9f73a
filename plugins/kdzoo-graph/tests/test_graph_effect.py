"""Effects of the graph methods on digits, without a label. `make effects` runs them over several seeds."""

from itertools import pairwise

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kdzoo_graph.functional import irg_edges, irg_transformation, main_direction

UNLABELLED = {"labels_per_class": 0, "algorithm.task_weight": 0.0}


def untaught(experiment):
    """Random weights; the one epoch settles the BatchNorm statistics only."""
    return experiment("baseline", epochs=1, labels_per_class=0)


def accuracy(one, model):
    """In percent, fitted to 50 labelled embeddings of the test split, measured on the others; mean of ten draws."""
    embedding = one.answer("student", embedding=True).embedding
    target = torch.cat([batch.target for batch in one.run.data.test])
    draws = StratifiedShuffleSplit(n_splits=10, train_size=50, random_state=0)
    return 100 * float(cross_val_score(model, embedding.numpy(), target.numpy(), cv=draws).mean())


def neighbours(one):
    return accuracy(one, KNeighborsClassifier(5))


def probe(one):
    return accuracy(one, make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)))


def correlation(one, other):
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()


def same_edges(student, teacher):
    """Correlation of the edges of two experiments' networks on the test split."""
    edges = [
        irg_edges(one.answer(role, embedding=True).embedding)
        for one, role in ((student, "student"), (teacher, "teacher"))
    ]
    different = ~torch.eye(len(edges[0]), dtype=torch.bool)
    return correlation(edges[0][different], edges[1][different])


def same_transformation(student, teacher):
    """Correlation of how far each test image moves between stages, mean over pairs of stages."""
    moves = []
    for one, role in ((student, "student"), (teacher, "teacher")):
        stages = [feature.mean(dim=(2, 3)) for feature in one.answer(role, -3, -2, -1).features]
        moves.append([irg_transformation(shallow, deep) for shallow, deep in pairwise(stages)])
    return sum(correlation(a, b) for a, b in zip(*moves, strict=True)) / 2


def same_attention(one):
    """Correlation of the two networks' attention graphs on the test split, mean over pairs of stages."""
    knowledge = one.run.connectors["student", "teacher"].module
    with torch.no_grad():
        theirs = [main_direction(feature) for feature in one.answer("teacher", -3, -2, -1).features]
        ours = [
            torch.nn.functional.normalize(widen(main_direction(feature)), dim=1)
            for widen, feature in zip(
                knowledge.widen, one.answer("student", -3, -2, -1).features, strict=True
            )
        ]
        graphs = [
            (heads(*our_pair).tanh(), heads(*their_pair).tanh())
            for heads, our_pair, their_pair in zip(
                knowledge.attentions, pairwise(ours), pairwise(theirs), strict=True
            )
        ]
    return sum(correlation(a, b) for a, b in graphs) / len(graphs)


@pytest.mark.slow
def test_edges_alone_make_an_embedding(experiment, beats):
    """`irg`'s edges and their transformation, without labels or logits, against random weights"""
    settings = {"knowledge.vertex": 0.0, "knowledge.edge": 50.0}
    irg = experiment("irg", epochs=14, **UNLABELLED, **settings)
    control = untaught(experiment)
    beats("5-NN accuracy, %", neighbours(irg), neighbours(control), by=9)
    beats("probe on 50 labels, %", probe(irg), probe(control), by=4)
    beats("correlation of the edges", same_edges(irg, irg), same_edges(control, irg), by=0.15)
    beats(
        "correlation of the moves", same_transformation(irg, irg), same_transformation(control, irg), by=0.15
    )


@pytest.mark.slow
def test_holistic_knowledge_alone_makes_an_embedding(experiment, beats):
    """`hkd` behind its graph network, without labels or logits in the loss, against random weights"""
    settings = {"knowledge.individual": 0.0, "knowledge.soft": 0.0}
    hkd = experiment("hkd", epochs=8, **UNLABELLED, **settings)
    beats("5-NN accuracy, %", neighbours(hkd), neighbours(untaught(experiment)), by=12)


@pytest.mark.slow
def test_attention_between_stages_makes_an_embedding(experiment, beats):
    """`mhgd` alone, without labels or logits, against random weights"""
    mhgd = experiment("mhgd", epochs=8, **UNLABELLED)
    beats("5-NN accuracy, %", neighbours(mhgd), neighbours(untaught(experiment)), by=12)
    beats("correlation of the attention graphs", same_attention(mhgd), 0.0, by=0.2)
