"""What features tell about labels, by hand and on clouds of points."""

from __future__ import annotations

import math

import torch

from kdzoo.engine.probe import linear, neighbours, share_right


def clouds(each: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three clouds around three directions."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]])
    labels = torch.arange(3).repeat(each)
    return centres[labels] + torch.randn(3 * each, 3, generator=draw), labels


def test_neighbours_vote_with_the_exponential_of_their_cosine() -> None:
    """One near row of class 1 against two farther ones of class 0, whose weights decide."""
    query = torch.tensor([[2.0, 0.0]])
    angles = torch.tensor([0.0, 0.5, 0.5])
    bank = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([[1.0], [3.0], [5.0]])
    labels = torch.tensor([1, 0, 0])
    even = (1 - math.cos(0.5)) / math.log(2)  # at this temperature two rows outweigh the near one exactly
    assert neighbours(query, bank, labels, temperature=0.9 * even).tolist() == [1]
    assert neighbours(query, bank, labels, temperature=1.1 * even).tolist() == [0]
    assert neighbours(query, bank, labels, k=1, temperature=1.1 * even).tolist() == [1]


def test_no_row_votes_for_itself() -> None:
    bank = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    labels = torch.tensor([0, 1, 2, 3])
    assert neighbours(bank, bank, labels, k=1).tolist() == [0, 1, 2, 3]
    assert neighbours(bank, bank, labels, k=1, themselves=True).tolist() == [1, 0, 3, 2]
    assert neighbours(bank[:2], bank[:2], labels[:2], k=20, themselves=True).tolist() == [1, 0]


def test_the_part_that_is_compared_at_a_time_makes_no_difference() -> None:
    bank, labels = clouds(500, seed=0)
    whole = neighbours(bank, bank, labels, themselves=True)
    assert share_right(whole, labels) > 97
    alone = [neighbours(bank, bank, labels, themselves=True)[-1]]
    assert whole[-1] == alone[0]


def test_a_linear_classifier_separates_clouds_whatever_their_scale() -> None:
    train, labels = clouds(100, seed=0)
    queries, truth = clouds(100, seed=1)
    assert share_right(linear(queries, train, labels), truth) > 97
    scale = torch.tensor([1e3, 1.0, 1e-3])
    scaled = linear(queries * scale + 5, train * scale + 5, labels)
    assert torch.equal(scaled, linear(queries, train, labels))


def test_a_linear_classifier_finds_the_least_loss() -> None:
    """Its gradient at the end is zero: two points, one feature, solved by bisection."""
    train, labels = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    assert linear(torch.tensor([[-0.1], [0.1]]), train, labels).tolist() == [0, 1]
    constant = torch.cat([train, torch.ones(2, 1)], dim=1)
    assert linear(constant, constant, labels).tolist() == [0, 1], "a feature that does not vary does no harm"


def test_the_share_that_is_right() -> None:
    assert share_right(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 0, 0])) == 50.0
