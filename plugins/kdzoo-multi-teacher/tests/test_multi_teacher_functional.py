import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kdzoo_multi_teacher.functional import (
    confidence_weights,
    entropy_weights,
    gradient_weights,
    mean_logits,
    mean_probabilities,
    merge_partitions,
)


def logits(seed, *shape, scale=2.0):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape) * scale)


TEACHERS = [logits(seed, 8, 5) for seed in range(3)]
TARGET = torch.from_numpy(np.random.RandomState(3).randint(0, 5, 8)).long()


def test_mean_probabilities_are_the_mean_at_that_temperature():
    for temperature in (1.0, 4.0):
        merged = mean_probabilities(TEACHERS, temperature)
        expected = sum((one / temperature).softmax(1) for one in TEACHERS) / 3
        torch.testing.assert_close((merged / temperature).softmax(1), expected)


def test_mean_logits_and_mean_probabilities_are_different_things():
    torch.testing.assert_close(mean_logits(TEACHERS), sum(TEACHERS) / 3)
    assert not torch.allclose(mean_logits(TEACHERS).softmax(1), mean_probabilities(TEACHERS).softmax(1))


def test_the_average_of_losses_has_the_gradient_of_the_mean_probabilities():
    student = logits(9, 8, 5).requires_grad_()
    separate = (
        sum(F.kl_div(student.log_softmax(1), one.softmax(1), reduction="batchmean") for one in TEACHERS) / 3
    )
    merged = F.kl_div(student.log_softmax(1), mean_probabilities(TEACHERS).softmax(1), reduction="batchmean")
    first, second = (torch.autograd.grad(loss, student)[0] for loss in (separate, merged))
    torch.testing.assert_close(first, second)


def test_entropy_weights_from_the_definition():
    p = torch.stack(TEACHERS).softmax(2)
    entropy = -(p * p.log()).sum(2)
    weights = entropy_weights(TEACHERS)
    torch.testing.assert_close(weights, (1 - entropy / entropy.sum(0)) / 2)
    torch.testing.assert_close(weights.sum(0), torch.ones(8, dtype=torch.float64))
    torch.testing.assert_close(entropy_weights(TEACHERS, normalize=False), 2 * weights)


def test_entropy_weights_stay_finite_where_probabilities_underflow():
    sure = torch.tensor([[1e4, 0.0, 0.0]])
    weights = entropy_weights([sure, torch.zeros(1, 3)])
    torch.testing.assert_close(weights, torch.tensor([[1.0], [0.0]]))
    assert torch.isfinite(entropy_weights([sure, sure])).all()


def test_confidence_weights_by_hand():
    # cross-entropies of log 2 and log 4, so that exp(CE) is 2 and 4: shares 1/3 and 2/3
    first, second = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, math.log(3)]])
    weights = confidence_weights([first, second], torch.tensor([0]))
    torch.testing.assert_close(weights, torch.tensor([[2 / 3], [1 / 3]]))


def test_confidence_weights_sum_to_one_and_are_capped():
    weights = confidence_weights(TEACHERS, TARGET)
    torch.testing.assert_close(weights.sum(0), torch.ones(8, dtype=torch.float64))
    assert (weights <= 1 / 2 + 1e-12).all()
    wrong = [20 * F.one_hot((TARGET + 1) % 5, 5).double(), 20 * F.one_hot(TARGET, 5).double()]
    torch.testing.assert_close(
        confidence_weights(wrong, TARGET),
        torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, 8), atol=1e-6, rtol=0,
    )  # fmt: skip


def test_a_withheld_label_weighs_all_alike():
    weights = confidence_weights(TEACHERS, torch.full((8,), -1))
    torch.testing.assert_close(weights, torch.full((3, 8), 1 / 3, dtype=torch.float64))


def combined(student, teachers, weights, temperature=4.0):
    own = (student / temperature).softmax(1)
    return sum(
        w * (own - (one / temperature).softmax(1)) for w, one in zip(weights, teachers, strict=True)
    ).norm()


@pytest.mark.parametrize("tolerance", [0.4, 0.6, 1.0])
def test_gradient_weights_are_the_best_of_a_grid(tolerance):
    student = logits(9, 8, 5)
    weights = gradient_weights(student, TEACHERS, tolerance=tolerance, steps=2000)
    assert weights.sum().item() == pytest.approx(1, abs=1e-6)
    assert ((weights >= 0) & (weights <= tolerance + 1e-9)).all()
    steps = [number / 40 for number in range(41)]
    grid = [(a, b, 1 - a - b) for a in steps for b in steps if 1 - a - b >= -1e-9]
    grid = [point for point in grid if max(point) <= tolerance + 1e-9]
    best = min(combined(student, TEACHERS, point) for point in grid)
    assert combined(student, TEACHERS, weights) <= best + 1e-6
    few = gradient_weights(student, TEACHERS, tolerance=tolerance)
    assert combined(student, TEACHERS, few) <= combined(student, TEACHERS, [1 / 3] * 3) + 1e-9


def test_teachers_that_cancel_each_other_get_equal_weights():
    student = torch.zeros(1, 2, dtype=torch.float64)
    weights = gradient_weights(student, [torch.tensor([[1.0, -1.0]]), torch.tensor([[-1.0, 1.0]])])
    torch.testing.assert_close(weights, torch.full((2,), 0.5, dtype=weights.dtype))


GROUPS = [[0, 1], [2, 3]]


def views(q):
    return [torch.stack([q[:, a], q[:, b], 1 - q[:, a] - q[:, b]], 1) for a, b in GROUPS]


def test_experts_that_agree_are_merged_into_what_they_agree_on():
    q = logits(4, 6, 4).softmax(1)
    torch.testing.assert_close(merge_partitions(views(q), GROUPS, 4, steps=1), q, atol=0.2, rtol=0)
    torch.testing.assert_close(merge_partitions(views(q), GROUPS, 4, steps=2000), q, atol=1e-4, rtol=0)


def divergence(q, said):
    return sum((p * (p.log() - seen.log())).sum(1) for p, seen in zip(said, views(q), strict=True))


def test_merging_minimises_the_sum_of_divergences():
    said = [logits(seed, 6, 3).softmax(1) for seed in (5, 6)]
    merged = merge_partitions(said, GROUPS, 4, steps=500)
    torch.testing.assert_close(merged.sum(1), torch.ones(6, dtype=torch.float64))
    free = torch.zeros(6, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([free], lr=0.5, max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        loss = divergence(free.softmax(1), said).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(
        divergence(merged, said), divergence(free.softmax(1), said).detach(), atol=1e-5, rtol=0
    )


def test_a_generalist_knows_every_class_and_who_is_not_asked_does_not_count():
    general, special = logits(7, 6, 4).softmax(1), logits(8, 6, 3).softmax(1)
    groups = [[0, 1], [0, 1, 2, 3]]
    asked = torch.tensor([[False, True]] * 6)
    torch.testing.assert_close(merge_partitions([special, general], groups, 4, active=asked), general)
    together = merge_partitions([special, general], groups, 4, steps=200)
    assert not torch.allclose(together, general)


def test_columns_follow_the_order_of_an_expert_s_classes():
    q = logits(4, 6, 4).softmax(1)
    forwards = merge_partitions(views(q), GROUPS, 4)
    swapped = [views(q)[0][:, [1, 0, 2]], views(q)[1]]
    torch.testing.assert_close(merge_partitions(swapped, [[1, 0], [2, 3]], 4), forwards)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="two teachers"):
        entropy_weights(TEACHERS[:1])
    with pytest.raises(ValueError, match="two teachers"):
        confidence_weights(TEACHERS[:1], TARGET)
    with pytest.raises(ValueError, match="every class"):
        merge_partitions([torch.ones(1, 3)], [[0, 1]], 4)
    with pytest.raises(ValueError, match="expert 0 knows 2 of 4 classes and gives 4"):
        merge_partitions([torch.ones(1, 4), torch.ones(1, 3)], GROUPS, 4)
