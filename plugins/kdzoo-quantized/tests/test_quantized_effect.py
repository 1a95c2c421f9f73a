"""Effects of the methods on digits. `make effects` runs them over several seeds.

The student is the teacher itself (`test_resnet`), its weights rounded to 2 bits and its activations to 2 or 3. The
first convolution and the classifier stay in float. Without training such a network guesses.
"""

import pytest

from kdzoo.api import softened_kl

pytestmark = pytest.mark.slow  # a whole procedure takes up to a minute

ITSELF = {"student": "test_resnet", "algorithm.start": "teacher"}
TAUGHT = {"knowledge.temperature": 4.0, "algorithm.task_weight": 0.0, "algorithm.teach_weight": 1.0}
LABELS = {"algorithm.task_weight": 1.0, "algorithm.teach_weight": 0.0}
NOTHING = {**LABELS, "labels_per_class": 0, "lr": 1e-9, "warmup_epochs": 0.0}
"""What rounding alone gives: nothing is learned, only the first steps are computed."""


def distance(one):
    """KL(teacher || student) on the test images at T = 4."""
    student, teacher = (one.answer(role).logits for role in ("student", "teacher"))
    return softened_kl(student, teacher, 4.0, reduction="mean").item()


def test_two_bits_are_learned_without_a_label(experiment, beats):
    """`lsq-kd`, 2-bit weights and activations, no label, against rounding alone and against 50 labelled images"""
    taught = experiment("lsq-kd", epochs=4, **ITSELF, **TAUGHT)
    rounded = experiment("lsq-kd", epochs=1, **ITSELF, **NOTHING)
    few = experiment(
        "lsq-kd", epochs=76, **ITSELF, **LABELS, train_per_class=5,
        teacher_checkpoint=taught.result["teacher_path"],
    )  # fmt: skip
    beats("accuracy, %, against rounding alone", taught.accuracy, rounded.accuracy, by=60)
    beats("accuracy, %, against 50 labels", taught.accuracy, few.accuracy, by=1.5)


def test_three_bit_activations_are_learned_without_a_label(experiment, beats):
    """`lsq-kd`, 2-bit weights, 3-bit activations, no label, against rounding alone"""
    three = {"algorithm.activation_bits": 3}
    taught = experiment("lsq-kd", epochs=2, **ITSELF, **TAUGHT, **three)
    rounded = experiment("lsq-kd", epochs=1, **ITSELF, **NOTHING, **three)
    beats("accuracy, %", taught.accuracy, rounded.accuracy, by=60)
    assert taught.accuracy > 90


def test_an_untrained_apprentice_needs_no_label(experiment, beats):
    """`apprentice`, untrained `test_resnet` of 2-bit weights, no label, against 5 labels a class"""
    taught = experiment(
        "apprentice", epochs=4, student="test_resnet", **{**TAUGHT, "knowledge.temperature": 1.0}
    )
    alone = experiment("apprentice", epochs=4, student="test_resnet", **LABELS, labels_per_class=5)
    beats("accuracy, %", taught.accuracy, alone.accuracy, by=25)


def test_a_teacher_that_studies_too_is_easier_to_follow(experiment, beats):
    """`qkd`, 2 bits: KL from the teacher after co-study, against one that does not learn from the student"""
    few = {"algorithm.weight_bits": 2, "algorithm.activation_bits": 2}
    both = experiment("qkd", epochs=3, **ITSELF, **few)
    alone = experiment("qkd", epochs=3, **ITSELF, **few, **{"algorithm.back_weight": 0.0})
    beats("minus KL(teacher || student)", -distance(both), -distance(alone), by=0.18)
    assert both.accuracy > 80
