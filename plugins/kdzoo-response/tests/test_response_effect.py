"""Effects of the methods on digits. `make effects` runs them over several seeds.

The margins of `kd` and `dkd` held over ten seeds; the others are about half of what was seen.
"""

import pytest
import torch
from torch.nn import functional as F

from kdzoo_response.ctkd import CTKD
from kdzoo_response.functional import kd_loss

STEPS = 152  # 8 epochs of all 1,257 images
ONLY_THE_TEACHER = {"labels_per_class": 0, "algorithm.task_weight": 0.0, "algorithm.teach_weight": 1.0}


def fifty_labels(experiment):
    """The student on 5 labelled images of each class and nothing else, for as many steps."""
    return experiment("baseline", train_per_class=5, epochs=STEPS)


def test_kd_needs_no_label(experiment, beats):
    """`kd` on 1,257 unlabelled images, against 50 labelled ones"""
    kd = experiment("kd", epochs=8, **ONLY_THE_TEACHER)
    beats("accuracy, %", kd.accuracy, fifty_labels(experiment).accuracy, by=10)


def ranking(one):
    """How well the student ranks the classes that the teacher holds for wrong: correlation of their logits."""
    student, teacher = one.answer("student").logits, one.answer("teacher").logits
    wrong = ~F.one_hot(teacher.argmax(dim=1), teacher.shape[1]).bool()
    rest = [logits[wrong].view(len(logits), -1) for logits in (student, teacher)]
    centred = [logits - logits.mean(dim=1, keepdim=True) for logits in rest]
    return F.cosine_similarity(*centred).mean().item()


@pytest.mark.slow
def test_dkd_shows_what_a_sure_teacher_thinks_of_the_wrong_classes(experiment, beats):
    """`dkd` at temperature 1 on 1,257 unlabelled images, against 50 labelled ones and against `kd` at 1"""
    at_one = {**ONLY_THE_TEACHER, "knowledge.temperature": 1.0}
    dkd = experiment("dkd", epochs=8, **at_one, **{"knowledge.beta": 1.0})
    kd = experiment("kd", epochs=8, **at_one)
    beats("accuracy, %, against 50 labels", dkd.accuracy, fifty_labels(experiment).accuracy, by=10)
    beats("correlation of the wrong classes' logits, against `kd`", ranking(dkd), ranking(kd), by=0.1)


AT_ONE = {**ONLY_THE_TEACHER, "knowledge.temperature": 1.0}


@pytest.mark.slow
def test_nkd_shows_what_a_sure_teacher_thinks_of_the_wrong_classes(experiment, beats):
    """`nkd` at temperature 1 on 1,257 unlabelled images, against 50 labelled ones and against `kd` at 1"""
    nkd = experiment("nkd", epochs=8, **AT_ONE)
    kd = experiment("kd", epochs=8, **AT_ONE)
    beats("accuracy, %, against 50 labels", nkd.accuracy, fifty_labels(experiment).accuracy, by=7)
    beats("correlation of the wrong classes' logits, against `kd`", ranking(nkd), ranking(kd), by=0.1)


@pytest.mark.slow
def test_standardised_logits_show_what_a_sure_teacher_thinks_of_the_wrong_classes(experiment, beats):
    """`lskd` at temperature 1 on 1,257 unlabelled images, against 50 labelled ones and against `kd` at 1"""
    lskd = experiment("lskd", epochs=8, **AT_ONE)
    kd = experiment("kd", epochs=8, **AT_ONE)
    beats("accuracy, %, against 50 labels", lskd.accuracy, fifty_labels(experiment).accuracy, by=7)
    beats("correlation of the wrong classes' logits, against `kd`", ranking(lskd), ranking(kd), by=0.1)


@pytest.mark.slow
def test_dist_needs_either_of_its_parts_alone(experiment, beats):
    """`dist` by its inter-class and by its intra-class part alone, 1,257 unlabelled images, against 50 labels"""
    control = fifty_labels(experiment).accuracy
    for part, other in (("inter", "gamma"), ("intra", "beta")):
        dist = experiment("dist", epochs=8, **ONLY_THE_TEACHER, **{f"knowledge.{other}": 0.0})
        beats(f"accuracy by the {part}-class part, %", dist.accuracy, control, by=7)


def products(logits):
    """How samples resemble each other: the inner products of their probabilities, centred."""
    likely = (logits / 4).softmax(dim=1)
    alike = (likely @ likely.T).flatten()
    return alike - alike.mean()


@pytest.mark.slow
def test_mlkd_teaches_how_samples_resemble(experiment, beats):
    """`mlkd` on 1,257 unlabelled images, and its batch term alone, against 50 labelled ones"""
    control = fifty_labels(experiment)
    mlkd = experiment("mlkd", epochs=8, **ONLY_THE_TEACHER)
    beats("accuracy, %", mlkd.accuracy, control.accuracy, by=7)
    alone = {"knowledge.instance": 0.0, "knowledge.classes": 0.0}
    batch = experiment("mlkd", epochs=8, **ONLY_THE_TEACHER, **alone)
    teacher = products(mlkd.answer("teacher").logits)
    ours, theirs = (
        F.cosine_similarity(products(one.answer("student").logits), teacher, dim=0).item()
        for one in (batch, control)
    )
    beats("correlation of the samples' inner products, batch term alone", ours, theirs, by=0.1)


@pytest.mark.slow
def test_ctkd_makes_the_lesson_harder(experiment, beats):
    """`ctkd` on 1,257 unlabelled images: against 50 labels, and its lesson against the one it began with"""
    low = -3.0  # a temperature of 1.9, from where there is far to go
    ctkd = experiment("ctkd", epochs=8, **ONLY_THE_TEACHER, **{"knowledge.theta": low})
    student, teacher = ctkd.answer("student").logits, ctkd.answer("teacher").logits
    (connector,) = ctkd.run.connectors.values()
    learned = connector.module.temperature.item()
    start = CTKD(theta=low).temperature.item()
    loss = {at: kd_loss(student, teacher, temperature=at).item() for at in (learned, start)}
    beats("accuracy, %, against 50 labels", ctkd.accuracy, fifty_labels(experiment).accuracy, by=7)
    beats("loss at the learned temperature, against the first", loss[learned] / loss[start], 1.0, by=0.03)


@pytest.mark.slow
def test_ofa_teaches_every_stage_of_an_unlike_student(experiment, beats):
    """`ofa` from a convolutional network to the exits of a transformer, no labels, against 50 labels"""
    vit = {"student": "test_vit", "epochs": 8}
    ofa = experiment("ofa", **vit, **ONLY_THE_TEACHER)
    control = experiment("baseline", **{**vit, "epochs": STEPS}, train_per_class=5)
    (connector,) = ofa.run.connectors.values()
    features = ofa.answer("student", *connector.module.taps.student).features
    truth = torch.cat([batch.target for batch in ofa.run.data.test])
    with torch.no_grad():
        exits = [
            (leave(feature).argmax(dim=1) == truth).float().mean().item() * 100
            for leave, feature in zip(connector.module.exits, features, strict=True)
        ]
    beats("accuracy, %", ofa.accuracy, control.accuracy, by=5)
    beats("accuracy of the worst exit, %", min(exits), control.accuracy, by=5)


@pytest.mark.slow
def test_hard_labels_of_a_teacher(experiment, beats):
    """`hard` on 1,257 unlabelled images, against 50 labelled ones"""
    hard = experiment("hard", epochs=8, **ONLY_THE_TEACHER)
    beats("accuracy, %", hard.accuracy, fifty_labels(experiment).accuracy, by=7)
