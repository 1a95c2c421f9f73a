"""Every product of installed knowledge and scheme takes two steps, without a line of code for the pair."""

import pytest
import torch

from kdzoo.engine.components import algorithm_of
from kdzoo.engine.weights import weights_hash
from kdzoo.zoo import Zoo

ZOO = Zoo()
PRODUCTS = [
    (knowledge, scheme) for knowledge in ZOO.components("knowledge") for scheme in ZOO.components("scheme")
]


def test_there_is_something_to_cross():
    assert {name for name, _ in PRODUCTS} >= {"kd", "dkd", "fitnet", "rkd", "at"}
    assert {name for _, name in PRODUCTS} >= {"offline", "mutual"}


@pytest.mark.parametrize(("knowledge", "scheme"), PRODUCTS, ids=lambda name: name)
def test_every_knowledge_runs_under_every_scheme(make_run, zoo, knowledge, scheme):
    run = make_run("kd", knowledge=knowledge, scheme=scheme, **{"roles.peer": "test_byobnet"})
    before = {role: weights_hash(run.roles[role]) for role in run.students}
    phase = next(algorithm_of(run.recipe, zoo).phases(run))
    for number, batch in enumerate(phase.data):
        batch = run.begin_step(number, batch)
        values = phase.step(batch)
        run.end_step()
        assert torch.isfinite(values["teach"])
    assert values["teach"] > 0, "at the second step, when a warm-up has begun"
    assert run.finite
    for role in run.students:
        assert weights_hash(run.roles[role]) != before[role]
    assert number == 1
