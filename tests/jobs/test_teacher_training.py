"""A teacher's own optimizer, schedule, augmentation and epochs; and why it is trained anew."""

from pathlib import Path
from typing import Any

import pytest

from kdzoo.errors import KdzooError
from kdzoo.jobs.plan import teacher_recipe
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.identity import read_identity
from kdzoo.recipe.writing import write
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

from .runs import small, teachers

FEW: dict[str, Any] = {"data.train_per_class": 2, "data.test_per_class": 2}


def messages(folder: Path) -> list[str]:
    rows = read_journal(folder / "metrics.jsonl")
    return [row["message"] for row in rows if row["event"] in ("note", "warning")]


def test_its_own_keys_win_and_the_others_are_the_runs(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "optim.opt": "sgd", "optim.lr": 0.1, "optim.weight_decay": 0.01, "data.augment.hflip": 0.5,
        "model_ema.decay": 0.9, "early_stopping.patience": 2, "roles.teacher.epochs": 7,
        "roles.teacher.optim.lr": 0.3, "roles.teacher.optim.sched": "step", "roles.teacher.augment.crop": 1,
    }  # fmt: skip
    recipe = small("kd", **settings)
    alone = teacher_recipe(recipe, recipe.roles["teacher"])
    optim = alone.optim
    assert (optim.opt, optim.lr, optim.weight_decay, optim.sched) == ("sgd", 0.3, 0.01, "step")
    assert (alone.epochs, alone.model_ema.decay, alone.early_stopping.patience) == (7, None, None)
    assert alone.data.augment is not None
    assert alone.data.augment.model_dump() == {"crop": 1}
    assert alone.roles["student"].optim is alone.roles["student"].augment is None
    write(recipe, tmp_path / "recipe.yaml")
    zoo = Zoo()
    again = resolve(zoo=zoo, registry=load_registry(zoo), file=tmp_path / "recipe.yaml")
    assert teacher_recipe(again, again.roles["teacher"]) == alone


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"roles.teacher.lr": 0.1, "roles.teacher.optim.lr": 0.2},
            r"roles\.teacher: lr and optim set the learning rate",
        ),
        ({"roles.student.optim.lr": 0.1}, r"roles: student: optim and augment are those of a teacher"),
        ({"roles.teacher.optim.rate": 0.1}, r"unknown key 'roles\.teacher\.optim\.rate'"),
        ({"roles.teacher.optim.lr": -1}, r"roles\.teacher\.optim\.lr: .*greater than 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(KdzooError, match=said):
        small("kd", **settings)


def test_it_is_trained_anew_when_its_keys_change_and_says_which(tmp_path: Path, cache: Path) -> None:
    for number, (settings, count, said) in enumerate(
        [
            ({}, 1, None),
            (
                {"roles.teacher.optim.opt": "adamw", "model_ema.decay": 0.5, "algorithm.task_weight": 0.5},
                1,
                None,
            ),
            ({"roles.teacher.optim.opt": "sgd"}, 2, "optim.opt was adamw and is sgd now"),
            ({"optim.opt": "sgd"}, 2, None),
            ({"optim.opt": "sgd", "roles.teacher.optim.lr": 0.01}, 3, "optim.lr was 0.002 and is 0.01 now"),
            ({"roles.teacher.drop_path": 0.1}, 4, "roles.teacher.drop_path was not set and is 0.1 now"),
            ({"roles.teacher.augment": {}}, 5, "data.augment.crop was 2 and is 0 now"),
        ]
    ):
        before = set(teachers(cache)) if number else set()
        train(small("kd", **FEW, **settings), tmp_path / f"run{number}", zoo=Zoo())
        assert len(teachers(cache)) == count, settings
        for folder in set(teachers(cache)) - before:
            told = [one for one in messages(folder) if "trained anew" in one]
            assert told == ([f"the teacher is trained anew: {said}"] if said else [])
            rows = [
                row for row in read_journal(folder / "metrics.jsonl") if row["event"] in ("phase", "epoch")
            ]
            assert {row["phase"] for row in rows} == {"teacher"}
            assert read_identity(folder) is not None
