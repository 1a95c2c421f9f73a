"""What each method is good for, on digits: 5 tasks of 2 digits, class-incremental accuracy after the last.

`make effects` runs this over several seeds. All learn with the same optimizer for the same epochs a task.
"""

SGD = {
    "optim.opt": "sgd",
    "optim.lr": 0.01,
    "optim.weight_decay": 5e-4,
    "student": "test_resnet",
    "batch_size": 32,
}
TINY = {"epochs": 6, "batch_size": 32, "algorithm.memory": 3, "algorithm.memory_budget": "class"}
SOME = {"epochs": 6, "batch_size": 32, "algorithm.memory": 10, "algorithm.memory_budget": "class"}


def test_the_earlier_self_keeps_old_classes_alive(experiment, beats):
    """`lwf`, 5 tasks of 2 digits without a memory, against fine-tuning"""
    taught = experiment("lwf", epochs=10, **SGD)
    alone = experiment("finetune", epochs=10, **SGD)
    beats("class-incremental accuracy, %", taught.accuracy, alone.accuracy, by=10)
    beats(
        "minus forgetting, points", -taught.result["test/forgetting"], -alone.result["test/forgetting"], by=10
    )


def test_exemplars_answer_better_than_they_train(experiment, beats):
    """`icarl`, 5 tasks of 2 digits with 3 exemplars a class, against the same memory replayed"""
    icarl = experiment("icarl", **TINY)
    replay = experiment("replay", **TINY)
    beats("class-incremental accuracy, %", icarl.accuracy, replay.accuracy, by=5)


def test_a_further_backbone_forgets_less(experiment, beats):
    """`der`, 5 tasks of 2 digits with 10 exemplars a class, against the same memory replayed"""
    der = experiment("der", **SOME, **{"algorithm.balance": 1.0, "algorithm.temperature": 1.0})
    replay = experiment("replay", **SOME)
    beats("class-incremental accuracy, %", der.accuracy, replay.accuracy, by=3)
