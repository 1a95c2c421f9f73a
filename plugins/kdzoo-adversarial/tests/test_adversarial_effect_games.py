"""Effects of a generator and a discriminator on digits. `make effects` runs them over several seeds."""

import pytest

pytestmark = pytest.mark.slow  # a whole procedure takes up to a minute

SMALL = {"data.img_size": 16}
"""Twice as many pixels a side as the digits have: a third of the time."""

ALONE = {
    **SMALL,
    "algorithm.task_weight": 0.0,
    "algorithm.teach_weight": 0.0,
    "algorithm.embedding_weight": 0.0,
    "labels_per_class": 0,
}
"""Nothing but the discriminator on logits: no label, no divergence, no distance."""


def game(experiment, epochs, **settings):
    return experiment("feature-gan", epochs=epochs, **ALONE, **settings)


def test_a_discriminator_that_knows_the_class_is_all_that_a_student_needs(experiment, beats):
    """`feature-gan` on logits alone, no label, no KL: told the teacher's class, against told none"""
    told = game(experiment, 12)
    blind = game(experiment, 5, **{"algorithm.condition": "none"})
    beats("accuracy, %", told.accuracy, blind.accuracy, by=50)
    assert told.accuracy > 93


def test_a_generator_supplements_ten_images(experiment, beats):
    """`gan-supplement`, 1 image a class: with generated images, against those 10 images alone"""
    teacher = game(experiment, 12).result["teacher_path"]  # it has seen all images
    few = {
        "train_per_class": 1,
        "student": "test_byobnet",
        "teacher_checkpoint": teacher,
        **SMALL,
        "algorithm.generator_steps": 2,
        "algorithm.student_steps": 4,
        "algorithm.width": 32,
        "algorithm.generator_lr": 0.002,
        "algorithm.disagreement_weight": 0.0,
        "algorithm.real_weight": 0.0,
    }
    more = experiment("gan-supplement", epochs=80, **few)
    alone = experiment("gan-supplement", epochs=80, **few, **{"algorithm.supplement": False})
    beats("accuracy, %", more.accuracy, alone.accuracy, by=10)
