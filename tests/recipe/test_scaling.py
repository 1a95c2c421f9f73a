"""The learning rate follows the images of a step, by timm's rule."""

from typing import Any

import pytest

from kdzoo.recipe.scaling import scaled
from tests.jobs.runs import small


@pytest.mark.parametrize(
    ("opt", "scale", "processes", "lr"),
    [
        ("sgd", None, 1, 0.1 * 64 / 256),
        ("sgd", None, 8, 0.1 * 512 / 256),
        ("adamw", None, 8, 0.1 * 2**0.5),
        ("adamw", "linear", 8, 0.1 * 2),
        ("sgd", "sqrt", 8, 0.1 * 2**0.5),
    ],
)
def test_lr_follows_the_images_of_a_step(opt: str, scale: str | None, processes: int, lr: float) -> None:
    settings: dict[str, Any] = {"optim.opt": opt, "optim.lr_base": 0.1, "optim.lr_base_scale": scale}
    recipe = small("baseline", **settings, **{"data.batch_size": 64})
    assert scaled(recipe, processes).optim.lr == pytest.approx(lr, rel=1e-12)
    assert recipe.optim.lr == scaled(recipe, 1).optim.lr, "a resolved recipe has it"


def test_without_a_base_the_learning_rate_stays() -> None:
    recipe = small("baseline")
    assert scaled(recipe, 8) == recipe


def test_accumulated_steps_count_as_one() -> None:
    settings: dict[str, Any] = {"optim.lr_base": 0.1, "optim.opt": "sgd", "data.batch_size": 64}
    recipe = small("baseline", **settings, **{"optim.grad_accum_steps": 4})
    assert recipe.optim.lr == pytest.approx(0.1)


def test_a_teacher_has_a_base_of_its_own() -> None:
    settings: dict[str, Any] = {
        "data.batch_size": 64, "optim.lr_base": 0.1, "roles.teacher.optim.lr_base": 0.4,
        "roles.teacher.optim.opt": "sgd",
    }  # fmt: skip
    for processes in (2, 1, 4):
        recipe = scaled(small("kd", **settings), processes)
        assert recipe.optim.lr == pytest.approx(0.1 * (processes / 4) ** 0.5)
        assert recipe.roles["teacher"].own_optim(recipe.optim).lr == pytest.approx(0.1 * processes)
        assert scaled(recipe, processes) == recipe
