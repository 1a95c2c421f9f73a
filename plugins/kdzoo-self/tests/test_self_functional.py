import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from kdzoo_self.functional import (
    byot_loss,
    draw_same_class,
    first_confident,
    follow,
    probability_mse,
    squared_distance,
    virtual_logits,
)


def normal(seed, *shape, scale=1.0):
    """The catalogue's fixed tensors: numpy's RandomState stream is frozen by NumPy policy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape) * scale)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


S, T = normal(1, 8, 10, scale=2.0), normal(2, 8, 10, scale=3.0)
MAP_S, MAP_T = normal(10, 8, 16, 4, 4), normal(11, 8, 16, 4, 4)


def test_byot_is_its_definition():
    p, q = softmax(T.numpy() / 3), softmax(S.numpy() / 3)
    kl = (p * np.log(p / q)).sum(1)
    distance = ((MAP_S - MAP_T) ** 2).numpy().sum((1, 2, 3))
    for squared, factor in ((True, 9), (False, 1)):
        loss = byot_loss(
            S, T, MAP_S, MAP_T, alpha=0.1, temperature=3.0, hint=0.02, squared=squared, reduction="none"
        )
        np.testing.assert_allclose(loss.numpy(), 0.1 * factor * kl + 0.02 * distance, rtol=1e-10)
        mean = byot_loss(S, T, MAP_S, MAP_T, alpha=0.1, temperature=3.0, hint=0.02, squared=squared)
        assert mean.item() == pytest.approx(loss.mean().item())


def test_byots_divergence_has_the_catalogues_reference_value():
    """KD at T = 4 with T²; alpha 1 and no hint leave nothing else."""
    assert byot_loss(S, T, alpha=1.0, temperature=4.0, hint=0.0).item() == pytest.approx(
        6.32334857739, rel=1e-6
    )


def test_byots_gradients_are_right():
    s, m = S[:3].clone().requires_grad_(), MAP_S[:3, :2].clone().requires_grad_()
    assert gradcheck(lambda s, m: byot_loss(s, T[:3], m, MAP_T[:3, :2], alpha=0.3, hint=0.1), (s, m))


def test_an_exit_like_the_deepest_one_has_nothing_to_learn():
    s = T.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(byot_loss(s, T, MAP_T, MAP_T, hint=1.0), s)
    assert gradient.norm().item() < 1e-12


def test_samples_do_not_see_each_other():
    order = torch.from_numpy(np.random.RandomState(0).permutation(8))
    loss = byot_loss(S, T, MAP_S, MAP_T, reduction="none")
    torch.testing.assert_close(
        loss[order], byot_loss(S[order], T[order], MAP_S[order], MAP_T[order], reduction="none")
    )
    loss = probability_mse(S, T, reduction="none")
    torch.testing.assert_close(loss[order], probability_mse(S[order], T[order], reduction="none"))


def test_maps_of_two_sizes_meet_at_the_smaller():
    small = MAP_T.mean((2, 3), keepdim=True)
    expected = (MAP_S.mean((2, 3), keepdim=True) - small).square().sum((1, 2, 3))
    torch.testing.assert_close(squared_distance(MAP_S, small), expected)


def test_half_precision_is_computed_in_float32():
    loss = byot_loss(S.half(), T.half(), MAP_S.half(), MAP_T.half(), hint=0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(byot_loss(S, T, MAP_S, MAP_T, hint=0.1).item(), rel=0.01)
    assert probability_mse(S.bfloat16(), T.bfloat16()).dtype == torch.float32


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="hint=0"):
        byot_loss(S, T)
    with pytest.raises(ValueError, match=r"\(8, 16, 4, 4\) and \(8, 3, 4, 4\)"):
        squared_distance(MAP_S, MAP_T[:, :3])
    with pytest.raises(ValueError, match=r"\(8, 3\)"):
        probability_mse(S, T[:, :3])
    with pytest.raises(ValueError, match=r"\(8, 3\)"):
        first_confident([S, T[:, :3]], 0.5)
    with pytest.raises(ValueError, match="correct in"):
        virtual_logits(torch.zeros(2, dtype=torch.long), 10, correct=1.0)
    with pytest.raises(ValueError, match="drawn must be"):
        draw_same_class(torch.arange(3), torch.arange(3), torch.zeros(2))


def test_the_first_exit_that_is_sure_answers():
    sure, unsure = [9.0, 0.0], [0.1, 0.0]  # probabilities 0.9999 and 0.52
    first = torch.tensor([sure, unsure, unsure, unsure])
    second = torch.tensor([unsure, sure, unsure, sure])
    third = torch.tensor([sure, sure, sure, unsure])
    assert first_confident([first, second, third], 0.9).tolist() == [0, 1, 2, 1]
    assert first_confident([first, second, third], 0.5).tolist() == [0, 0, 0, 0]
    assert first_confident([first, second, third], 1.0).tolist() == [2, 2, 2, 2]


def test_partners_are_of_the_same_class_and_evenly_drawn():
    labels = torch.tensor([2, 0, -1, 0, 2, 2, 1, -1])
    index = torch.tensor([0, 1, 2, 6]).repeat_interleave(600)
    drawn = torch.rand(2400, generator=torch.Generator().manual_seed(0))
    partner = draw_same_class(index, labels, drawn).view(4, 600)
    assert set(partner[0].tolist()) == {0, 4, 5}
    assert torch.bincount(partner[0])[[0, 4, 5]].min() > 150
    assert set(partner[1].tolist()) == {1, 3}
    assert set(partner[2].tolist()) == {2}, "whose label is withheld is its own partner"
    assert set(partner[3].tolist()) == {6}
    edge = draw_same_class(torch.tensor([0, 1]), labels, torch.tensor([1 - 2**-24] * 2))
    assert edge.tolist() == [5, 3]


def test_the_virtual_teacher_gives_the_label_its_probability():
    target = torch.tensor([3, 0, 9])
    p = virtual_logits(target, 10, correct=0.99).softmax(1)
    torch.testing.assert_close(p[range(3), target], torch.full((3,), 0.99))
    torch.testing.assert_close(p[0, 4:], torch.full((6,), 0.01 / 9))
    code = virtual_logits(target, 10, correct=0.99, form="code")
    torch.testing.assert_close(code[range(3), target], torch.full((3,), 0.99))
    assert (code / 20).softmax(1).amax() < 0.11, "the authors' code divides probabilities: all but uniform"
    assert (virtual_logits(target, 10) / 20).softmax(1).amax() > 0.13


def test_mean_squared_probabilities_are_their_definition():
    expected = ((softmax(S.numpy()) - softmax(T.numpy())) ** 2).mean(1)
    np.testing.assert_allclose(probability_mse(S, T, reduction="none").numpy(), expected, rtol=1e-10)
    assert probability_mse(S, T).item() == pytest.approx(expected.mean())
    s = S[:3].clone().requires_grad_()
    assert gradcheck(lambda s: probability_mse(s, T[:3]), s)
    assert probability_mse(S, S).item() == 0


def test_the_average_follows_weights_and_batchnorms_statistics():
    average, network = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(1.0)
        network.num_batches_tracked.fill_(7)
    follow(average, network, decay=0.75)
    torch.testing.assert_close(average.weight, torch.full((2,), 1.5))
    torch.testing.assert_close(average.running_mean, torch.full((2,), 0.25))
    assert average.num_batches_tracked == 7
    assert network.weight[0] == 3.0, "the network itself does not move"
    with pytest.raises(ValueError, match="same parameters"):
        follow(average, nn.Linear(2, 2), 0.5)
