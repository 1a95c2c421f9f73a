"""The mathematics, by hand and from the definitions in float64."""

import itertools
import math

import numpy as np
import pytest
import torch

from kdzoo_lifelong.functional import (
    average_incremental,
    backward_transfer,
    class_mean,
    forgetting,
    herd,
    local_similarity,
    lwf_loss,
    nca_loss,
    pod_flat_loss,
    pod_spatial_loss,
    seen_accuracy,
    sigmoid_distillation,
)


def normal(seed, *shape, scale=1.0):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape) * scale)


def test_lwf_is_the_authors_value():
    loss = lwf_loss(normal(1, 8, 10, scale=2.0), normal(2, 8, 10, scale=3.0), temperature=2.0)
    assert loss.item() == pytest.approx(2.97279677179, rel=1e-9)


def test_lwf_has_no_temperature_squared_and_its_gradient_is_a_difference_of_probabilities():
    student, previous = normal(1, 4, 3).requires_grad_(), normal(2, 4, 3)
    lwf_loss(student, previous, 2.0, reduction="none").sum().backward()
    expected = ((student / 2).softmax(1) - (previous / 2).softmax(1)) / 2
    torch.testing.assert_close(student.grad, expected.detach())
    same = previous.clone().requires_grad_()
    lwf_loss(same, previous).backward()
    torch.testing.assert_close(same.grad, torch.zeros_like(same), atol=1e-15, rtol=0)


def test_sigmoids_by_hand():
    student, previous = (
        torch.tensor([[0.0, math.log(3)]]).double(),
        torch.tensor([[math.log(4), 0.0]]).double(),
    )
    # teacher 0.8 and 0.5, student 0.5 and 0.75
    by_hand = -math.log(0.5) - 0.5 * math.log(0.75) - 0.5 * math.log(0.25)
    assert sigmoid_distillation(student, previous).item() == pytest.approx(by_hand)


@pytest.mark.parametrize("loss", [lwf_loss, sigmoid_distillation])
def test_losses_of_old_classes_do_not_mind_their_order_and_have_the_right_gradient(loss):
    student, previous, order = normal(1, 5, 4), normal(2, 5, 4), [2, 0, 3, 1]
    torch.testing.assert_close(loss(student, previous), loss(student[:, order], previous[:, order]))
    assert torch.autograd.gradcheck(lambda one: loss(one, previous), student.requires_grad_())
    assert loss(student.half(), previous.half()).dtype == torch.float32
    with pytest.raises(ValueError, match=r"\(5, 4\) and \(5, 3\)"):
        loss(student, previous[:, :3])


def test_pod_sums_squares_along_each_side():
    own, other = normal(1, 2, 3, 4, 5), normal(2, 2, 3, 4, 5)

    def sums(one):
        values = [(one[c, h, :] ** 2).sum() for c in range(3) for h in range(4)]
        values += [(one[c, :, w] ** 2).sum() for c in range(3) for w in range(5)]
        vector = torch.stack(values)
        return vector / vector.norm()

    expected = torch.stack([(sums(a) - sums(b)).norm() for a, b in zip(own, other, strict=True)])
    torch.testing.assert_close(pod_spatial_loss([own], [other], reduction="none"), expected)
    both = pod_spatial_loss([own, own], [other, own])
    torch.testing.assert_close(both, expected.mean() / 2)


def test_pod_leaves_free_where_in_a_row_and_a_column_things_are():
    """Pixels that change places so that every row and column keeps its sum: no loss. Elsewhere: a loss."""
    one, other, moved = (torch.zeros(1, 1, 3, 3, dtype=torch.float64) for _ in range(3))
    one[0, 0, 0, 0] = one[0, 0, 1, 1] = 1
    other[0, 0, 0, 1] = other[0, 0, 1, 0] = 1
    moved[0, 0, 2, 2] = moved[0, 0, 1, 1] = 1
    assert pod_spatial_loss([one], [other]).item() == 0
    assert pod_spatial_loss([one], [moved]).item() > 0.5
    assert torch.autograd.gradcheck(
        lambda own: pod_spatial_loss([own], [normal(3, 2, 2, 3, 3)]), normal(1, 2, 2, 3, 3).requires_grad_()
    )
    with pytest.raises(ValueError, match="same shapes"):
        pod_spatial_loss([one], [normal(1, 1, 1, 3, 4)])


def test_pod_flat_is_the_angle():
    own, other = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 2.0], [5.0, 5.0]])
    torch.testing.assert_close(pod_flat_loss(own, other, reduction="none"), torch.tensor([2.0, 0.0]))


def test_similarity_is_the_cosine_with_one_proxy_and_lies_between_its_cosines_with_more():
    embedding, proxies = normal(1, 6, 5), normal(2, 3, 4, 5)
    cosine = torch.nn.functional.cosine_similarity(embedding[:, None, None], proxies[None], dim=3)
    one = local_similarity(embedding, proxies[:, :1])
    torch.testing.assert_close(one, cosine[:, :, 0])
    all_ = local_similarity(embedding, proxies)
    assert (all_ > cosine.mean(2)).all()
    assert (all_ < cosine.amax(2)).all()
    torch.testing.assert_close(local_similarity(7 * embedding, proxies), all_)
    assert torch.autograd.gradcheck(local_similarity, (embedding.requires_grad_(), proxies.requires_grad_()))


def test_the_margin_is_of_the_right_class_alone():
    similarity, target = torch.tensor([[0.5, 0.1, -0.2]]).double(), torch.tensor([0])
    by_hand = -(4 * (0.5 - 0.6)) + math.log(math.exp(0.4) + math.exp(-0.8))
    assert nca_loss(similarity, target, 4.0, margin=0.6).item() == pytest.approx(by_hand)
    assert nca_loss(torch.tensor([[1.0, -1.0]]), target, 4.0).item() == 0, "far enough ahead"
    own = normal(4, 5, 3).requires_grad_()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda one, s: nca_loss(one, torch.tensor([0, 1, 2, 0, 1]), s, 2.0), (own, scale)
    )


def test_herding_is_the_greedy_choice():
    features = normal(5, 12, 4)
    unit = features / features.norm(dim=1, keepdim=True)
    mean, chosen = unit.mean(0), []
    for _ in range(5):
        rest = [one for one in range(12) if one not in chosen]
        chosen.append(min(rest, key=lambda one: (mean - unit[[*chosen, one]].mean(0)).norm().item()))
    assert herd(features, 5).tolist() == chosen
    assert herd(features, 3).tolist() == chosen[:3], "a shorter list is the beginning of a longer one"
    assert sorted(herd(features, 40).tolist()) == list(range(12)), "each once"


def test_herded_samples_are_nearer_to_the_mean_than_most_choices():
    features = normal(6, 8, 3)
    unit = features / features.norm(dim=1, keepdim=True)

    def distance(rows):
        return (unit.mean(0) - unit[list(rows)].mean(0)).norm().item()

    all_ = sorted(distance(rows) for rows in itertools.combinations(range(8), 3))
    assert distance(herd(features, 3).tolist()) <= all_[len(all_) // 10]


def test_the_class_mean_has_length_one_and_does_not_mind_lengths():
    features = torch.tensor([[2.0, 0.0], [0.0, 0.5]])
    torch.testing.assert_close(class_mean(features), torch.tensor([0.5, 0.5]).sqrt())


MATRIX = torch.tensor([[90.0, math.nan, math.nan], [70.0, 80.0, math.nan], [80.0, 50.0, 100.0]])


def test_figures_by_hand():
    counts = torch.tensor([10.0, 10.0, 20.0])
    expected = torch.tensor([90.0, 75.0, (800 + 500 + 2000) / 40])
    torch.testing.assert_close(seen_accuracy(MATRIX, counts), expected)
    assert average_incremental(MATRIX, counts).item() == pytest.approx(82.5)
    assert backward_transfer(MATRIX).item() == pytest.approx((-10 - 30) / 2)
    assert forgetting(MATRIX).item() == pytest.approx((10 + 30) / 2)
    recovered = torch.tensor([[60.0, math.nan, math.nan], [90.0, 80.0, math.nan], [70.0, 80.0, 1.0]])
    assert forgetting(recovered).item() == pytest.approx((20 + 0) / 2), "from the best, not from the first"
    assert backward_transfer(recovered).item() == pytest.approx((10 + 0) / 2)
    assert forgetting(MATRIX[:1, :1]).item() == backward_transfer(MATRIX[:1, :1]).item() == 0
