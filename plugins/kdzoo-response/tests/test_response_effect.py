"""What the methods are good for, on digits. `make effects` runs this over several seeds.

The margins held over ten seeds: python benchmarks/effects.py --seeds 10
"""

from torch.nn import functional as F

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


def test_dkd_shows_what_a_sure_teacher_thinks_of_the_wrong_classes(experiment, beats):
    """`dkd` at temperature 1 on 1,257 unlabelled images, against 50 labelled ones and against `kd` at 1"""
    at_one = {**ONLY_THE_TEACHER, "knowledge.temperature": 1.0}
    dkd = experiment("dkd", epochs=8, **at_one, **{"knowledge.beta": 1.0})
    kd = experiment("kd", epochs=8, **at_one)
    beats("accuracy, %, against 50 labels", dkd.accuracy, fifty_labels(experiment).accuracy, by=10)
    beats("correlation of the wrong classes' logits, against `kd`", ranking(dkd), ranking(kd), by=0.1)
