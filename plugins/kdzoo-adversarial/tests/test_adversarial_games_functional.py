import math

import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_adversarial.functional import (
    balance_loss,
    class_condition,
    confidence_loss,
    disagreement,
    discriminator_loss,
    fooling_loss,
    l1_distance,
    normalised_rows,
    shown_logits,
    statistics_distance,
    told_apart,
)


def logits(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


S, T = logits(1, 6, 5), 2 * logits(2, 6, 5)


def test_confidence_is_minus_the_log_of_the_highest_probability():
    torch.testing.assert_close(confidence_loss(T), -T.softmax(1).amax(1).log())
    torch.testing.assert_close(
        confidence_loss(torch.zeros(2, 8).double()), torch.full((2,), math.log(8)).double()
    )
    assert confidence_loss(1000 * T).max() == 0


def test_balance_is_least_for_classes_that_are_as_frequent_and_finite_for_one():
    each = 1000 * torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(balance_loss(each), torch.tensor(-math.log(4)).double())
    same = each[:1].repeat(6, 1).requires_grad_()
    loss = balance_loss(same)
    loss.backward()
    assert loss == 0
    assert same.grad.isfinite().all()
    mean = T.softmax(1).mean(0)
    torch.testing.assert_close(balance_loss(T), (mean * mean.log()).sum())
    torch.testing.assert_close(balance_loss(T[torch.tensor([3, 1, 0, 5, 2, 4])]), balance_loss(T))


def test_statistics_are_compared_by_mean_squares():
    one, other = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 6.0])
    assert statistics_distance([(one, other)], [(other, other)]) == (9 + 16) / 2
    assert statistics_distance([(one, other), (one, one)], [(other, one), (one, one)]) == 25


def test_disagreement_is_a_bounded_distance():
    p, q = S.softmax(1), T.softmax(1)
    middle = (p + q) / 2
    expected = ((p * (p / middle).log()).sum(1) + (q * (q / middle).log()).sum(1)) / 2
    torch.testing.assert_close(disagreement(S, T), expected)
    torch.testing.assert_close(disagreement(T, S), expected)
    torch.testing.assert_close(disagreement(T, T), torch.zeros(6).double())
    opposite = 1000 * torch.eye(2).double()
    torch.testing.assert_close(
        disagreement(opposite, opposite.flip(0)), torch.full((2,), math.log(2)).double()
    )
    torch.testing.assert_close(disagreement(S, T, 3.0), disagreement(S / 3, T / 3))


def test_the_game_starts_at_log_2_and_both_sides_pull():
    zero = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    assert discriminator_loss(zero, zero).item() == pytest.approx(math.log(2))
    assert fooling_loss(zero).item() == pytest.approx(math.log(2))
    (push,) = torch.autograd.grad(discriminator_loss(zero.detach(), zero), zero)
    (pull,) = torch.autograd.grad(fooling_loss(zero), zero)
    assert (push > 0).all()
    assert (pull < 0).all()
    real, fake = S[:, 0], T[:, 1]
    by_hand = -(real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()) / 2
    torch.testing.assert_close(discriminator_loss(real, fake), by_hand)
    torch.testing.assert_close(fooling_loss(fake), -fake.sigmoid().log().mean())
    # A student that the discriminator sees through still learns: that is the form which does not saturate.
    lost = torch.full((1,), -50.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(fooling_loss(lost), lost)[0].item() == pytest.approx(-1)


def test_told_apart_counts_both_sides():
    real, fake = torch.tensor([1.0, 1.0, -1.0, 1.0]), torch.tensor([-1.0, 1.0, -1.0, 1.0])
    assert told_apart(real, fake) == (3 / 4 + 2 / 4) / 2


def test_shown_logits_are_probabilities_around_zero():
    shown = shown_logits(T, 4.0)
    torch.testing.assert_close(shown, 10 * (T / 4).softmax(1) - 2)
    torch.testing.assert_close(shown.sum(1), torch.zeros(6).double())
    torch.testing.assert_close(shown_logits(T + 3, 4.0), shown)


def test_a_condition_is_the_class_and_nothing_where_the_label_is_withheld():
    told = class_condition(torch.tensor([2, -1, 0]), 3)
    assert told.tolist() == [[0, 0, 3], [0, 0, 0], [3, 0, 0]]
    mixed = torch.tensor([[0.25, 0.75]])
    assert class_condition(mixed, 2).tolist() == [[0.75, 2.25]]


def test_rows_do_not_show_their_size():
    rows = logits(3, 4, 2, 7)
    torch.testing.assert_close(normalised_rows(5 * rows + 1), normalised_rows(rows), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(normalised_rows(rows).mean(-1), torch.zeros(4, 2).double())


def test_l1_is_a_mean_over_the_classes():
    torch.testing.assert_close(l1_distance(S, T), (S - T).abs().sum(1) / 5)
    with pytest.raises(ValueError, match="one shape"):
        l1_distance(S, T[:, :4])


@pytest.mark.parametrize(
    "function",
    [
        lambda one, other: confidence_loss(other),
        lambda one, other: balance_loss(other),
        disagreement,
        lambda one, other: discriminator_loss(one, other),
        lambda one, other: fooling_loss(other),
        lambda one, other: shown_logits(other),
        lambda one, other: normalised_rows(other),
        l1_distance,
        lambda one, other: statistics_distance([(one, other)], [(one**2, other**2)]),
    ],
)
def test_gradients_are_those_of_the_formula(function):
    assert gradcheck(function, (S.clone().requires_grad_(), T.clone().requires_grad_()))


@pytest.mark.parametrize(
    "function", [confidence_loss, balance_loss, fooling_loss, shown_logits, normalised_rows]
)
def test_low_precision_is_computed_in_float32(function):
    assert function(T.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(function(T.bfloat16()), function(T.bfloat16().float()))
