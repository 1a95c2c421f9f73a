"""Effects of a robust teacher on digits. `make effects` runs them over several seeds.

Every student sees the same 20 images a class, 5 of them labelled, for 20 epochs. The teacher is robust: the exported
student of plain adversarial training on all images. A pixel may be moved by 0.08 of 1. With all labels the control
comes so close that three seeds do not settle who is ahead.
"""

import pytest

from kdzoo_adversarial.robustness import under_pgd

pytestmark = pytest.mark.slow  # a whole procedure takes up to a minute

FEW = {"train_per_class": 20, "test_per_class": 30, "epochs": 20, "lr": 1e-2}
LABELS = {"labels_per_class": 5}
ATTACK = {"algorithm.epsilon": 0.08, "algorithm.step_size": 0.05, "algorithm.steps": 2}


def taught(experiment, method):
    """A student of a robust teacher, which is trained once for all methods of a seed."""
    teacher = experiment(
        "pgd-training", student="test_resnet", test_per_class=30, epochs=5, lr=1e-2, **ATTACK
    )
    weights = {"roles.teacher.checkpoint": str(teacher.run.folder / "student")}
    return experiment(method, **FEW, **LABELS, **ATTACK, **weights)


def robust(one):
    return one.result["test/robust"]


def test_a_natural_student_has_no_defence(experiment, beats):
    """`pgd-training`, 5 labels a class, against plain training with 20: accuracy under PGD-20"""
    natural = experiment("baseline", **FEW)
    network = natural.run.roles["student"].eval()
    left = under_pgd(lambda images: network(images).logits, natural.run.data.test, "image", 0.08, seed=0)
    assert natural.accuracy > 85
    assert left < 5
    beats(
        "accuracy under PGD-20, %", robust(experiment("pgd-training", **FEW, **LABELS, **ATTACK)), left, by=10
    )


def test_ard_makes_a_small_network_robust(experiment, beats):
    """`ard`, 5 labels a class, robust teacher, against plain adversarial training: accuracy under PGD-20"""
    student, control = taught(experiment, "ard"), experiment("pgd-training", **FEW, **LABELS, **ATTACK)
    beats("accuracy under PGD-20, %", robust(student), robust(control), by=14)
    assert student.accuracy > control.accuracy, "and not at the price of clean images"


def test_rslad_makes_a_small_network_robust(experiment, beats):
    """`rslad`, 5 labels a class, robust teacher, against plain adversarial training: accuracy under PGD-20"""
    student, control = taught(experiment, "rslad"), experiment("pgd-training", **FEW, **LABELS, **ATTACK)
    beats("accuracy under PGD-20, %", robust(student), robust(control), by=14)
    assert student.accuracy > control.accuracy, "and not at the price of clean images"
