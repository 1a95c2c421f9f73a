"""What the method is good for, on digits. `make effects` runs this over several seeds.

The margins held over ten seeds: python benchmarks/effects.py --seeds 10
"""

import torch
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier


def neighbours(one):
    """Accuracy in percent of the 5 nearest neighbours among 50 labelled embeddings; mean over ten draws."""
    embedding = one.answer("student", embedding=True).embedding
    target = torch.cat([batch.target for batch in one.run.data.test])
    draws = StratifiedShuffleSplit(n_splits=10, train_size=50, random_state=0)
    scores = cross_val_score(KNeighborsClassifier(5), embedding.numpy(), target.numpy(), cv=draws)
    return 100 * float(scores.mean())


def test_relations_alone_make_an_embedding(experiment, beats):
    """`rkd` alone, without labels or logits, against random weights"""
    rkd = experiment("rkd", epochs=10, labels_per_class=0, **{"algorithm.task_weight": 0.0})
    untaught = experiment("baseline", epochs=1, labels_per_class=0)  # settles the BatchNorm statistics only
    beats("5-NN accuracy, %", neighbours(rkd), neighbours(untaught), by=15)
