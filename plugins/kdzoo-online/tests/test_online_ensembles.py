"""Soft targets that are made of several networks' logits."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from kdzoo.api import softened_kl
from kdzoo_online.functional import (
    attention_weights,
    best_peer,
    gated_logits,
    linear_logits,
    mean_logits,
    minimum_logits,
    mix_probabilities,
)

BY_LABEL = [best_peer, minimum_logits, linear_logits]
TARGET = torch.from_numpy(np.random.RandomState(3).randint(0, 10, 8))


def normal(seed, *shape, scale=1.0):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape) * scale)


@pytest.fixture
def logits():
    return [normal(1, 8, 10, scale=2.0), normal(2, 8, 10, scale=3.0), normal(4, 8, 10)]


def losses(logits, target=TARGET):
    return F.cross_entropy(logits, target, reduction="none")


def test_by_hand():
    first, second = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[4.0, 0.0, 3.0]])
    target = torch.tensor([0])
    torch.testing.assert_close(mean_logits([first, second]), torch.tensor([[2.5, 1.0, 1.5]]))
    torch.testing.assert_close(best_peer([first, second], target), second)
    # Relative to class 0: (0, 1, -1) and (0, -4, -1).
    torch.testing.assert_close(minimum_logits([first, second], target), torch.tensor([[0.0, -4.0, -1.0]]))
    gate = torch.tensor([[0.25, 0.75]])
    torch.testing.assert_close(gated_logits([first, second], gate), torch.tensor([[3.25, 0.5, 2.25]]))


def test_the_best_peer_is_chosen_for_each_sample(logits):
    expected = torch.stack([losses(one) for one in logits]).amin(dim=0)
    assert len(set(torch.stack([losses(one) for one in logits]).argmin(dim=0).tolist())) > 1
    torch.testing.assert_close(losses(best_peer(logits, TARGET)), expected)


def test_the_minimum_is_at_least_as_sure_of_the_right_class_as_every_peer(logits):
    own = losses(minimum_logits(logits, TARGET))
    assert all((own <= losses(one)).all() for one in logits)
    shifted = [one + shift for one, shift in zip(logits, (3.0, -2.0, 7.0), strict=True)]
    torch.testing.assert_close(minimum_logits(shifted, TARGET), minimum_logits(logits, TARGET))


def test_the_linear_ensemble_is_the_best_point_of_a_grid(logits):
    grid = [(a, b, 100 - a - b) for a in range(101) for b in range(101 - a)]
    best = torch.stack(
        [losses(sum(w / 100 * one for w, one in zip(weights, logits, strict=True))) for weights in grid]
    ).amin(dim=0)
    own = losses(linear_logits(logits, TARGET, steps=500))
    torch.testing.assert_close(own, best, atol=5e-3, rtol=0)
    mean = losses(mean_logits(logits))
    assert (losses(linear_logits(logits, TARGET)) <= mean + 1e-9).all()


@pytest.mark.parametrize("ensemble", BY_LABEL)
def test_a_sample_without_label_gets_the_mean(ensemble, logits):
    target = TARGET.clone()
    target[2:5] = -1
    own, known = ensemble(logits, target), ensemble(logits, TARGET)
    torch.testing.assert_close(own[2:5], mean_logits(logits)[2:5])
    torch.testing.assert_close(own[[0, 1, 5, 6, 7]], known[[0, 1, 5, 6, 7]])
    assert not torch.allclose(known[2:5], mean_logits(logits)[2:5])


@pytest.mark.parametrize("ensemble", BY_LABEL)
def test_peers_that_agree_are_their_own_ensemble_and_samples_do_not_see_each_other(ensemble, logits):
    same = ensemble([logits[0]] * 3, TARGET)
    torch.testing.assert_close(same.softmax(dim=1), logits[0].softmax(dim=1))
    order = torch.from_numpy(np.random.RandomState(0).permutation(8))
    moved = ensemble([one[order] for one in logits], TARGET[order])
    torch.testing.assert_close(moved, ensemble(logits, TARGET)[order])


def test_gradients_are_right(logits):
    three = [one[:3, :4].clone().requires_grad_() for one in logits]
    assert gradcheck(lambda *all: mean_logits(all), three)
    assert gradcheck(lambda *all: minimum_logits(all, TARGET[:3] % 4), three)
    gate = normal(5, 3, 3).softmax(dim=1).requires_grad_()
    assert gradcheck(lambda gate, *all: gated_logits(all, gate), [gate, *three])
    queries, keys = (normal(seed, 3, 3, 2).requires_grad_() for seed in (6, 7))
    assert gradcheck(
        lambda q, k: mix_probabilities(three, attention_weights(q, k), temperature=3.0)[1], [queries, keys]
    )


def test_the_divergence_at_temperature_3_has_the_reference_value(logits):
    """What the authors of `one` and of `okddip` compute from the same tensors; catalogue, section 3.5."""
    loss = softened_kl(logits[0], logits[1], 3.0, reduction="mean")
    assert loss.item() == pytest.approx(6.212342966, rel=1e-5)


def test_attention_is_its_definition():
    queries, keys = normal(6, 2, 3, 4), normal(7, 2, 3, 4)
    expected = np.exp(np.einsum("bad,bcd->bac", queries.numpy(), keys.numpy()))
    expected /= expected.sum(axis=2, keepdims=True)
    own = attention_weights(queries, keys)
    np.testing.assert_allclose(own.numpy(), expected, rtol=1e-12)
    assert not torch.allclose(own, own.transpose(1, 2))


def test_probabilities_are_mixed_at_the_temperature_and_are_constants(logits):
    logits = [one.requires_grad_() for one in logits]
    weights = normal(5, 8, 2, 3).softmax(dim=2).requires_grad_()
    mixed = mix_probabilities(logits, weights, temperature=3.0)
    assert len(mixed) == 2
    for target, own in enumerate(mixed):
        expected = sum(
            weights[:, target, peer, None] * (one / 3).softmax(dim=1) for peer, one in enumerate(logits)
        )
        torch.testing.assert_close((own / 3).softmax(dim=1), expected)
    gradients = torch.autograd.grad(mixed[1].square().sum(), [weights, *logits], allow_unused=True)
    assert [gradient is not None for gradient in gradients] == [True, False, False, False]
    assert gradients[0][:, 1].abs().sum() > 0


def test_a_peer_with_all_the_weight_is_the_target(logits):
    weights = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).expand(8, 1, 3)
    (own,) = mix_probabilities(logits, weights, temperature=3.0)
    torch.testing.assert_close((own / 3).softmax(dim=1), (logits[1] / 3).softmax(dim=1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype, logits):
    half = [one.to(dtype) for one in logits]
    for ensemble in BY_LABEL:
        own = ensemble(half, TARGET)
        assert own.dtype == torch.float32
        torch.testing.assert_close(own, ensemble([one.float() for one in half], TARGET))
    gate = torch.full((8, 3), 1 / 3, dtype=dtype)
    assert gated_logits(half, gate).dtype == torch.float32
    assert attention_weights(gate.view(8, 3, 1), gate.view(8, 3, 1)).dtype == torch.float32


def test_bad_shapes_are_refused(logits):
    for ensemble in BY_LABEL:
        with pytest.raises(ValueError, match=r"not \[\(8, 10\)\]"):
            ensemble(logits[:1], TARGET)
        with pytest.raises(ValueError, match=r"must be integers \(8,\)"):
            ensemble(logits, TARGET[:5])
        with pytest.raises(ValueError, match="must be integers"):
            ensemble(logits, TARGET.double())
    with pytest.raises(ValueError, match=r"must be \(8, 3\), not \(3, 8\)"):
        gated_logits(logits, torch.zeros(3, 8))
    with pytest.raises(ValueError, match=r"\(8, A, 3\)"):
        mix_probabilities(logits, torch.zeros(8, 3))
    with pytest.raises(ValueError, match=r"\(B, M, D\)"):
        attention_weights(torch.zeros(8, 3), torch.zeros(8, 3))
