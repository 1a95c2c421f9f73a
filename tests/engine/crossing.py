"""One product of a knowledge and a scheme: two steps, or the sentence that refuses it."""

from collections.abc import Callable
from typing import Any

import torch

from kdzoo.engine.components import algorithm_of
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.weights import weights_hash
from kdzoo.errors import KdzooError
from kdzoo.zoo import Zoo

Make = Callable[..., TrainingRun]

TRANSFORMERS = {"vit-attention"}
"""Knowledge that compares what only transformers have."""


def cross(
    make_run: Make, zoo: Zoo, knowledge: str, scheme: str, needs: dict[str, dict[str, Any]]
) -> str | None:
    """None if the product runs, else why not.

    Args:
        make_run: makes a small run.
        zoo: where components are found.
        knowledge: its name.
        scheme: its name.
        needs: scheme -> the settings without which it means nothing.

    """
    model = "test_vit" if knowledge in TRANSFORMERS else "test_efficientnet"
    settings = {"roles.peer": model if knowledge in TRANSFORMERS else "test_byobnet", **needs.get(scheme, {})}
    try:
        run = make_run("kd", student=model, knowledge=knowledge, scheme=scheme, **settings)
        before = {role: weights_hash(run.roles[role]) for role in run.students}
        phase = next(algorithm_of(run.recipe, zoo).phases(run))
        taught = []
        for number, batch in enumerate(phase.data):
            batch = run.begin_step(number, batch)
            values = phase.step(batch)
            run.end_step()
            assert torch.isfinite(values["teach"])
            taught.append(float(values["teach"]))
    except KdzooError as error:
        return str(error)
    assert number == 1
    assert run.finite
    assert taught[-1] != 0, "at the second step, when a warm-up has begun"
    for role in run.students:
        assert weights_hash(run.roles[role]) != before[role]
    return None
