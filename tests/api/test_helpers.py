"""What the api lends to plugins so that none of them writes it again."""

import random
from contextlib import suppress

import pytest
import torch
from torch import nn

from kdzoo.api import (
    KdzooError,
    Noise,
    Output,
    Ramp,
    at_least_float32,
    choice,
    evaluating,
    reduce,
    seeded,
    without_autocast,
)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_becomes_float32_and_float64_stays(given, wanted):
    assert at_least_float32(torch.ones(2, dtype=given)).dtype == wanted
    assert at_least_float32(given) == wanted


def test_a_tensor_of_enough_precision_is_not_copied():
    tensor = torch.ones(2)
    assert at_least_float32(tensor) is tensor


def test_without_autocast_a_product_keeps_its_precision():
    matrix = torch.eye(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (matrix @ matrix).dtype == torch.bfloat16
        with without_autocast(matrix):
            assert (matrix @ matrix).dtype == torch.float32
    with without_autocast(torch.eye(2, device="meta")):
        pass


def test_reduce():
    losses = torch.tensor([1.0, 2.0, 6.0])
    assert reduce(losses, "none") is losses
    assert reduce(losses, "mean") == 3
    with pytest.raises(ValueError, match="reduction must be 'none' or 'mean', not 'sum'"):
        reduce(losses, "sum")


def test_choice_names_the_option_what_it_accepts_and_the_value():
    choice("form", "paper", ("paper", "code"))
    with pytest.raises(ValueError, match=r"^kernel must be 'a', 'b' or 1, not 'c'$"):
        choice("kernel", "c", ("a", "b", 1))
    with pytest.raises(ValueError, match="shape must be 'linear', 'cosine' or 'sigmoid', not 'square'"):
        Ramp(shape="square")
    with pytest.raises(ValueError, match="kind must be 'uniform' or 'normal', not 'pink'"):
        Noise(None, 1, kind="pink")


def test_evaluating_puts_each_mode_back_after_an_error_too():
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(3), nn.Dropout()))
    other = nn.Dropout().eval()
    network[1][0].eval()
    before = [module.training for module in network.modules()]
    assert len(set(before)) == 2
    with evaluating(network, other):
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == before
    with suppress(ZeroDivisionError), evaluating(network):
        raise ZeroDivisionError
    assert [module.training for module in network.modules()] == before
    assert not other.training


def test_seeded_gives_the_same_weights_and_disturbs_nobody():
    torch.manual_seed(1)
    random.seed(1)
    expected = torch.rand(1), random.random()
    torch.manual_seed(1)
    random.seed(1)
    with seeded(7):
        one = nn.Linear(2, 2)
    with seeded(7):
        other = nn.Linear(2, 2)
    assert torch.equal(one.weight, other.weight)
    assert (torch.rand(1), random.random()) == expected


def test_an_answer_without_embedding_says_how_to_ask_for_it():
    embedding = torch.ones(2, 3)
    assert Output(torch.ones(2, 5), embedding=embedding).embedded is embedding
    with pytest.raises(KdzooError, match=r"no embedding: .*Taps\(embedding=True\)"):
        _ = Output(torch.ones(2, 5)).embedded
