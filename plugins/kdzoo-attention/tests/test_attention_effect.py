"""Effects of the methods on digits. `make effects` runs them over several seeds.

The margin of the peculiar cosine of `at` held over ten seeds, the others over three, and are about half of the least
difference seen there: python benchmarks/effects.py --seeds 10
"""

import pytest
import torch
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from kdzoo_attention.token_attention import AttentionWeights

STAGES = (-4, -3, -2)


def maps(one, role):
    """Attention maps of the test images at each stage."""
    return [
        F.normalize(stage.square().mean(dim=1).flatten(1), dim=1)
        for stage in one.answer(role, *STAGES).features
    ]


def peculiar(one, role):
    """Attention maps less the average over all images, which alone is already much like every image's map."""
    return [stage - stage.mean(dim=0) for stage in maps(one, role)]


def likeness(ours, theirs):
    """Mean cosine over stages and images."""
    pairs = zip(ours, theirs, strict=True)
    return torch.stack([F.cosine_similarity(*pair).mean() for pair in pairs]).mean().item()


@pytest.mark.slow
def test_the_student_looks_where_the_teacher_looks(experiment, beats):
    """`at` with 50 labels and 1,257 unlabelled images, against the 50 labels alone"""
    at = experiment("at", epochs=8, labels_per_class=5)
    control = experiment("baseline", epochs=8 * 19, train_per_class=5)
    ours, others = (likeness(maps(one, "student"), maps(at, "teacher")) for one in (at, control))
    assert ours > 0.95
    beats("cosine of the maps", ours, others, by=0.07)
    ours, others = (likeness(peculiar(one, "student"), peculiar(at, "teacher")) for one in (at, control))
    beats("cosine of what is peculiar to an image's map", ours, others, by=0.4)


@pytest.mark.slow
def test_links_that_are_learned_are_followed(experiment, beats):
    """`afd` with 50 labels and 1,257 unlabelled images, against the 50 labels alone"""
    afd = experiment("afd", epochs=8, labels_per_class=5)
    control = experiment("baseline", epochs=8 * 19, train_per_class=5)
    knowledge = afd.run.connectors["student", "teacher"].module
    with torch.no_grad():
        links = knowledge.links(afd.answer("student", *STAGES), afd.answer("teacher", *STAGES)).mean(dim=0)

    def linked(one):
        """Cosine of what is peculiar to the maps of linked stages, at the teacher's size, weighed by the link."""
        found = torch.zeros(3, 3)
        for t, theirs in enumerate(afd.answer("teacher", *STAGES).features):
            for s, ours in enumerate(one.answer("student", *STAGES).features):
                sized = F.adaptive_avg_pool2d(ours.square().mean(dim=1), theirs.shape[-1])
                pair = [
                    F.normalize(energy.flatten(1), dim=1) for energy in (sized, theirs.square().mean(dim=1))
                ]
                found[t, s] = F.cosine_similarity(*(side - side.mean(dim=0) for side in pair)).mean()
        return (links * found).sum(dim=1).mean().item()

    beats("cosine of what is peculiar to linked maps", linked(afd), linked(control), by=0.2)


@pytest.mark.slow
def test_class_maps_stand_in_for_labels(experiment, beats):
    """`catkd` alone, without labels or logits, against random weights"""
    fine = {f"roles.{role}.kwargs.output_stride": 8 for role in ("teacher", "student")}
    catkd = experiment(
        "catkd", epochs=5, labels_per_class=0, teacher_epochs=6, **{"algorithm.task_weight": 0.0}, **fine
    )
    control = experiment("baseline", epochs=1, labels_per_class=0, **fine)
    beats("accuracy, %", catkd.accuracy, control.accuracy, by=35)


@pytest.mark.slow
def test_tokens_attend_as_the_teachers_do(experiment, beats):
    """`vit-attention` alone between unlike transformers, without labels or logits, against random weights"""
    small = {"teacher_img_size": 32, "student_img_size": 32}
    small |= {f"roles.{role}.kwargs.patch_size": 8 for role in ("teacher", "student")}
    vits = {
        "teacher": "test_vit3",
        "student": "test_vit",
        "teacher_epochs": 6,
        "labels_per_class": 0,
        **small,
    }
    taught = experiment("vit-attention", epochs=5, **vits, **{"algorithm.task_weight": 0.0})
    control = experiment("baseline", epochs=1, **vits)

    def attention(one, role):
        """(540, 17, 17) of the last block, averaged over heads."""
        probe, network = AttentionWeights(), one.run.roles[role].eval()
        with torch.no_grad():
            parts = [network(batch.inputs["image"], probes=(probe,)) for batch in one.run.data.test]
        return torch.cat([part.extras[probe][0].mean(dim=1) for part in parts])

    theirs = attention(taught, "teacher")

    def alike(one):
        sides = (attention(one, "student"), theirs)
        return F.cosine_similarity(*((side - side.mean(dim=0)).flatten(1) for side in sides)).mean().item()

    beats("cosine of what is peculiar to an image's attention", alike(taught), alike(control), by=0.4)


@pytest.mark.slow
def test_layers_that_are_attended_to_make_an_embedding(experiment, beats):
    """`semckd`'s layers alone, without labels or logits, against random weights"""
    layers = {"knowledge.soft_weight": 0.0, "knowledge.stages": (-2, -1), "algorithm.task_weight": 0.0}
    semckd = experiment("semckd", epochs=5, labels_per_class=0, **layers)
    control = experiment("baseline", epochs=1, labels_per_class=0)  # settles the BatchNorm statistics only

    def neighbours(one):
        """Accuracy in percent of the 5 nearest neighbours among 50 labelled embeddings; mean over ten draws."""
        embedding = one.answer("student", embedding=True).embedding
        target = torch.cat([batch.target for batch in one.run.data.test])
        draws = StratifiedShuffleSplit(n_splits=10, train_size=50, random_state=0)
        scores = cross_val_score(KNeighborsClassifier(5), embedding.numpy(), target.numpy(), cv=draws)
        return 100 * float(scores.mean())

    beats("5-NN accuracy, %", neighbours(semckd), neighbours(control), by=10)
