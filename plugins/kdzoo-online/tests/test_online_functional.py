import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_online.functional import mutual_losses


def normal(seed, *shape, scale=1.0):
    """The catalogue's fixed tensors: numpy's RandomState stream is frozen by NumPy policy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape) * scale)


@pytest.fixture
def logits():
    return [
        normal(seed, 8, 10, scale=scale).requires_grad_() for seed, scale in ((1, 2.0), (2, 3.0), (4, 1.0))
    ]


def test_two_peers_have_the_reference_value(logits):
    first, _ = mutual_losses(logits[:2])
    assert first.item() == pytest.approx(3.73017935453, rel=1e-6)


def test_it_is_its_definition(logits):
    p = [np.exp(one) / np.exp(one).sum(1, keepdims=True) for one in (x.detach().numpy() for x in logits)]
    for i, loss in enumerate(mutual_losses(logits, reduction="none")):
        others = [j for j in range(3) if j != i]
        expected = sum((p[j] * np.log(p[j] / p[i])).sum(1) for j in others) / 2
        np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-10)


def test_gradients_are_right(logits):
    others = [one.detach() for one in logits[1:]]
    assert gradcheck(lambda mine: mutual_losses([mine, *others])[0], logits[0])


def test_each_peer_learns_from_its_own_loss_alone(logits):
    """The others' probabilities are constants, so one backward of the sum trains all peers rightly."""
    losses = mutual_losses(logits)
    together = torch.autograd.grad(sum(losses), logits)
    for i, loss in enumerate(mutual_losses(logits)):
        gradients = torch.autograd.grad(loss, logits, allow_unused=True)
        assert [gradient is not None for gradient in gradients] == [j == i for j in range(3)]
        torch.testing.assert_close(gradients[i], together[i])


def test_peers_that_agree_have_nothing_to_teach(logits):
    losses = mutual_losses([logits[0], logits[0].detach().clone()])
    (gradient,) = torch.autograd.grad(losses[0], logits[0])
    assert abs(losses[0].item()) < 1e-12
    assert gradient.norm().item() < 1e-12


def test_samples_do_not_see_each_other(logits):
    order = torch.from_numpy(np.random.RandomState(0).permutation(8))
    samples = mutual_losses(logits, reduction="none")
    moved = mutual_losses([one[order] for one in logits], reduction="none")
    for one, other, mean in zip(samples, moved, mutual_losses(logits), strict=True):
        torch.testing.assert_close(one[order], other)
        torch.testing.assert_close(one.mean(), mean)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype, logits):
    half = mutual_losses([one.to(dtype) for one in logits])
    for one, other in zip(half, mutual_losses(logits), strict=True):
        assert one.dtype == torch.float32
        assert one.item() == pytest.approx(other.item(), rel=0.05)


def test_bad_arguments_are_refused(logits):
    with pytest.raises(ValueError, match=r"not \[\(8, 10\)\]"):
        mutual_losses(logits[:1])
    with pytest.raises(ValueError, match=r"\(8, 3\)"):
        mutual_losses([logits[0], logits[1][:, :3]])
    with pytest.raises(ValueError, match="'sum'"):
        mutual_losses(logits, reduction="sum")
