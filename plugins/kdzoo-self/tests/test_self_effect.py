"""Effects of the methods on digits. `make effects` runs them over several seeds.

Controls see the same 20 labelled images a class for 20 epochs, without what the method adds.
"""

import pytest
import torch
from torch.nn.functional import kl_div

FEW = {"train_per_class": 20, "epochs": 20}


def targets(one):
    return torch.cat([batch.target for batch in one.run.data.test])


def spread(one):
    """How far apart the student's softened answers to test images of one class are: mean KL of all pairs at T = 4."""
    log_p, target = (one.answer("student").logits / 4).log_softmax(1), targets(one)
    classes = [log_p[target == label] for label in target.unique()]
    pairs = [kl_div(one[None], one[:, None], reduction="none", log_target=True).sum(-1) for one in classes]
    return 16 * torch.stack([pair.mean() for pair in pairs]).mean().item()


def accuracy_of(one, role):
    return one.result[f"test/{role}"]


def test_exits_learn_from_the_deepest_one_without_a_label(experiment, beats):
    """`byot`, 10 images a class: exits that see no label, against the same without the divergence"""
    blind = {
        "student": "test_resnet",
        "train_per_class": 10,
        "batch_size": 50,
        "algorithm.exit_task_weight": 0.0,
    }
    taught = experiment("byot", epochs=40, **blind, **{"knowledge.alpha": 1.0})
    alone = experiment("byot", epochs=5, **blind, **{"knowledge.alpha": 0.0})
    exits = ("exit1", "exit2")
    beats(
        "accuracy of the worse exit, %",
        min(accuracy_of(taught, exit_) for exit_ in exits),
        max(accuracy_of(alone, exit_) for exit_ in exits),
        by=30,
    )


@pytest.mark.slow
def test_most_images_need_not_go_through_the_whole_network(experiment, beats):
    """`byot`, 10 images a class: answering early at a threshold of 0.9, against the deepest one's accuracy less 1"""
    byot = experiment("byot", epochs=60, student="test_resnet", train_per_class=10, batch_size=50)
    of = {key: byot.result[f"progressive/0.9/{key}"] for key in ("accuracy", "cost", "exit1", "exit3")}
    beats("accuracy, %", of["accuracy"], byot.accuracy - 1.0, by=0.5)
    beats("answered at the first exit, %", of["exit1"], 0.0, by=30)
    assert of["cost"] < 1


@pytest.mark.slow
def test_answers_to_a_class_come_together(experiment, beats):
    """`cs-kd`, 20 images a class, against plain training: distance of test answers within a class, negated"""
    paired = experiment("cs-kd", **FEW)
    alone = experiment("baseline", **FEW)
    beats("minus KL within a class", -spread(paired), -spread(alone), by=1.0)
    assert paired.accuracy > alone.accuracy - 5, "and not because everything is answered alike"


@pytest.mark.slow
def test_the_past_makes_a_student_less_sure(experiment, beats):
    """`ps-kd`, 20 images a class, against plain training: distance of test answers within a class, negated"""
    past = experiment("ps-kd", **FEW)
    alone = experiment("baseline", **FEW)
    beats("minus KL within a class", -spread(past), -spread(alone), by=0.3)
    assert past.accuracy > alone.accuracy - 5


@pytest.mark.slow
def test_the_last_batch_makes_answers_consistent(experiment, beats):
    """`dlb`, 20 images a class, against its own two views without the last answers"""
    last = experiment("dlb", **FEW)
    alone = experiment("dlb", **FEW, **{"algorithm.alpha": 0.0})
    beats("minus KL within a class", -spread(last), -spread(alone), by=0.3)
    assert last.accuracy > alone.accuracy - 5


@pytest.mark.slow
def test_a_generation_learns_from_the_last_one_without_a_label(experiment, beats):
    """`ban`, 20 images a class: a second generation that sees no label, against one that is not taught either"""
    two = {"algorithm.generations": 2, "algorithm.task_weight": 0.0}
    born = experiment("ban", **FEW, **two)
    alone = experiment("ban", **FEW, **two, **{"algorithm.born_weight": 0.0})
    beats("accuracy, %", born.accuracy, alone.accuracy, by=35)


@pytest.mark.slow
def test_the_average_restrains_the_student(experiment, beats):
    """`ema`, 20 images a class, against an average that does not teach: distance within a class, negated"""
    short = {"scheme.decay": 0.8}  # the run has 60 steps
    taught = experiment("ema", **FEW, **short, **{"algorithm.teach_weight": 10.0})
    alone = experiment("ema", **FEW, **short, **{"algorithm.teach_weight": 0.0})
    beats("minus KL within a class", -spread(taught), -spread(alone), by=0.4)
    assert taught.accuracy > alone.accuracy - 5


@pytest.mark.slow
def test_the_hand_made_teacher_restrains_the_student(experiment, beats):
    """`tf-kd`, 20 images a class, against plain training: distance of test answers within a class, negated"""
    made = experiment("tf-kd", **FEW)
    alone = experiment("baseline", **FEW)
    beats("minus KL within a class", -spread(made), -spread(alone), by=0.4)
    assert made.accuracy > alone.accuracy - 5
