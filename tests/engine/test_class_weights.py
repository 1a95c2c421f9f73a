"""Weights of the classes in the task loss are torch's."""

import pytest
import torch
from torch.nn import functional

from kdzoo.engine.class_weights import balanced_weights
from kdzoo.engine.columns import Columns
from kdzoo.engine.evaluate import task_loss

LABELS = torch.tensor([0] * 6 + [1] * 3 + [3] * 3 + [-1] * 5)
WEIGHTS = balanced_weights(LABELS, 4)
LOGITS = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([0, 1, 3, 0, 1, 3, 0, 0])


def test_they_are_the_inverse_of_the_counts_with_mean_one():
    assert WEIGHTS.tolist() == pytest.approx([12 / (3 * 6), 12 / (3 * 3), 1.0, 12 / (3 * 3)])
    assert WEIGHTS[LABELS[LABELS >= 0]].mean().item() == pytest.approx(1)
    assert balanced_weights(LABELS[-5:], 2).tolist() == [1, 1]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_ids(smoothing):
    expected = functional.cross_entropy(LOGITS, TARGET, WEIGHTS, label_smoothing=smoothing)
    assert task_loss(LOGITS, TARGET, None, smoothing, WEIGHTS).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_samples_without_a_label_are_left_out(smoothing):
    target = TARGET.where(torch.arange(8) > 2, -1)
    expected = functional.cross_entropy(LOGITS[3:], TARGET[3:], WEIGHTS, label_smoothing=smoothing)
    assert task_loss(LOGITS, target, None, smoothing, WEIGHTS).item() == pytest.approx(
        expected.item(), rel=1e-6
    )
    assert task_loss(LOGITS, torch.full_like(TARGET, -1), None, smoothing, WEIGHTS).item() == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_labels(smoothing):
    mixed = (functional.one_hot(TARGET, 4) * 0.7 + functional.one_hot(TARGET.flip(0), 4) * 0.3).float()
    expected = functional.cross_entropy(LOGITS, mixed, WEIGHTS, label_smoothing=smoothing)
    assert task_loss(LOGITS, mixed, None, smoothing, WEIGHTS).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_logits_in_another_order_of_the_classes():
    order = torch.tensor([2, 0, 3, 1])
    columns = Columns(order, torch.argsort(order))
    plain = task_loss(LOGITS, TARGET, None, 0.1, WEIGHTS)
    assert task_loss(LOGITS[:, order], TARGET, columns, 0.1, WEIGHTS).item() == pytest.approx(plain.item())
