import pytest
import torch

from kdzoo.counter_rng import below, bits, draws, key, permutation, uniform

INDEX = torch.arange(20_000)


def test_agrees_with_splitmix64():
    first_output_of_seed_1234567 = 6457827717110365317
    assert bits(0, torch.tensor([1234567])).item() == first_output_of_seed_1234567


@pytest.mark.parametrize("number", [0, 1, 11])
def test_uniform(number):
    drawn = uniform(draws(key("test", 3), INDEX, range(number, number + 1))[0])
    assert drawn.dtype == torch.float32
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = torch.histc(drawn, 50, 0, 1)
    chi_squared = ((counts - 400) ** 2 / 400).sum()
    assert 23 < chi_squared < 86  # 49 degrees of freedom: one in 1000 on each side


def test_draws_seeds_epochs_and_neighbours_are_independent():
    rows = [uniform(one) for one in draws(key("test", 0, 0), INDEX, range(3))]
    rows += [uniform(draws(key("test", *parts), INDEX, range(1))[0]) for parts in ((0, 1), (1, 0), (1, 1))]
    rows += [uniform(draws(key("other", 0, 0), INDEX, range(1))[0]), rows[0].roll(1), rows[0].roll(2)]
    correlation = torch.corrcoef(torch.stack(rows)) - torch.eye(len(rows))
    assert correlation.abs().max() < 4.5 / 20_000**0.5  # standard deviations


def test_a_draw_depends_on_nothing_but_its_key_index_and_number():
    whole = draws(key("test"), INDEX, range(12))
    assert torch.equal(draws(key("test"), INDEX[700:703], range(5, 7)), whole[5:7, 700:703])


def test_below_covers_its_range_evenly():
    counts = torch.bincount(below(draws(key("test"), INDEX, range(1))[0], 9))
    assert len(counts) == 9
    assert ((counts - 20_000 / 9).abs() < 220).all()
    assert below(torch.tensor([(1 << 24) - 1]), 9).item() == 8


def test_a_subset_keeps_its_order():
    order = permutation(key("test"), INDEX)
    assert torch.equal(order.sort().values, INDEX)
    half = INDEX[::2]
    assert torch.equal(half[permutation(key("test"), half)], order[order % 2 == 0])
