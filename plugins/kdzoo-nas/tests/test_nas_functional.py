"""Values by hand or from the definition, in float64."""

import itertools
import random

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy

from kdzoo_nas.functional import class_gradient, cut, gram_distance, pareto_front, relative_error
from kdzoo_nas.paths import Choice, pairs, paths
from kdzoo_nas.space import Options, Space


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_classifiers_gradient_is_autograds():
    embedding, weight, bias = rand(6, 5), rand(4, 5, seed=1).requires_grad_(), rand(4, seed=2)
    target = torch.tensor([0, 1, 2, 3, 1, 1])
    logits = embedding @ weight.T + bias
    cross_entropy(logits, target).backward()
    torch.testing.assert_close(class_gradient(logits.detach(), embedding, target), weight.grad)


def test_a_gradient_of_shapes_that_do_not_go_together_is_refused():
    with pytest.raises(ValueError, match="must be"):
        class_gradient(rand(3, 2), rand(4, 5), torch.zeros(3, dtype=torch.long))


def test_the_distance_of_relations_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)  # rows that have nothing in common
    teacher = torch.tensor(
        [[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64
    )  # rows that are one: 1/√2 everywhere
    expected = (2 * (1 - 0.5**0.5) ** 2 + 2 * 0.5) ** 0.5
    assert gram_distance(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_relations_do_not_change_with_scale_rotation_or_order():
    one, other = rand(5, 3, 2, 2), rand(5, 7, seed=1)
    turn = torch.linalg.qr(rand(12, 12, seed=2))[0]
    assert gram_distance(one, 3 * one.flatten(1) @ turn).item() == pytest.approx(0, abs=1e-12)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(gram_distance(one[order], other[order]), gram_distance(one, other))
    assert gram_distance(one, other) > 0.1


def test_the_distance_of_relations_has_a_gradient():
    assert gradcheck(gram_distance, (rand(4, 3).requires_grad_(), rand(4, 5, seed=1)))


def test_relations_of_other_samples_are_refused():
    with pytest.raises(ValueError, match="same number of rows"):
        gram_distance(rand(4, 3), rand(5, 3))


def test_half_precision_is_compared_in_float32():
    assert gram_distance(rand(4, 3).bfloat16(), rand(4, 3, seed=1).bfloat16()).dtype == torch.float32
    assert relative_error(rand(4).bfloat16(), rand(4, seed=1).bfloat16()).dtype == torch.float32


def test_a_blocks_error_by_hand():
    teacher = torch.tensor([1.0, 3.0, 1.0, 3.0], dtype=torch.float64)  # deviation 1
    student = torch.tensor([1.0, 3.0, 2.0, 5.0], dtype=torch.float64)
    assert relative_error(student, teacher).item() == pytest.approx((1 + 4) / 4)
    assert relative_error(student, teacher, power=1).item() == pytest.approx((1 + 2) / 4)
    assert relative_error(teacher, teacher).item() == 0


def test_a_blocks_error_is_one_for_the_mean_at_any_scale():
    teacher = 100 * rand(3, 4, 2, 2) + 7
    assert relative_error(teacher.mean().expand_as(teacher), teacher).item() == pytest.approx(1)
    assert torch.isfinite(relative_error(rand(4), torch.zeros(4, dtype=torch.float64)))


def test_a_blocks_error_has_a_gradient():
    assert gradcheck(relative_error, (rand(2, 3).requires_grad_(), rand(2, 3, seed=1)))
    with pytest.raises(ValueError, match="one shape"):
        relative_error(rand(2, 3), rand(3, 2))


def test_a_cut_has_the_first_channels_and_the_middle_of_the_kernel():
    shared = torch.arange(2 * 3 * 5 * 5.0).reshape(2, 3, 5, 5).requires_grad_()
    part = cut(shared, (1, 2, 3, 3))
    torch.testing.assert_close(part, shared[:1, :2, 1:4, 1:4])
    part.sum().backward()
    assert shared.grad.sum() == 1 * 2 * 9
    assert torch.equal(cut(torch.arange(4), (2,)), torch.tensor([0, 1]))


@pytest.mark.parametrize("shape", [(3, 3), (2,), (2, 4)])
def test_a_cut_that_does_not_fit_is_refused(shape):
    with pytest.raises(ValueError, match="cannot be cut"):
        cut(torch.zeros(2, 3), shape)


def test_the_front_is_what_no_other_beats():
    chance = random.Random(0)
    costs = [chance.randrange(20) for _ in range(60)]
    scores = [chance.randrange(20) for _ in range(60)]
    front = pareto_front(costs, scores)
    beaten = [
        any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in zip(costs, scores, strict=True))
        for cost, score in zip(costs, scores, strict=True)
    ]
    kept = {(costs[one], scores[one]) for one in front}
    assert kept == {
        pair for pair, lost in zip(zip(costs, scores, strict=True), beaten, strict=True) if not lost
    }
    assert [costs[one] for one in front] == sorted({costs[one] for one in front})


@pytest.mark.parametrize("most", [None, 20, 14])
def test_paths_come_by_rising_error_within_the_budget(most):
    chance = random.Random(1)
    options = Options((8, 16), (1, 2))
    space = Space((options, options, options))
    layers = [
        {
            (width, own): Choice(chance.random(), chance.randrange(1, 10))
            for width in ((0,) if number == 0 else (8, 16))
            for own in options
        }
        for number in range(3)
    ]

    def added(one, field):
        return sum(layers[number][pair][field] for number, pair in enumerate(pairs(one)))

    every = [tuple(one) for one in itertools.product(*space.stages)]
    allowed = [one for one in every if most is None or added(one, 1) <= most]
    found = list(paths(layers, most))
    assert found == sorted(allowed, key=lambda one: added(one, 0))
    assert len(found) > 0
    assert most is None or len(found) < len(every)
