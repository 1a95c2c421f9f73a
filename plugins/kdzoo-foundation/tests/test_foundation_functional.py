import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional

from kdzoo_foundation.functional import (
    feature_loss,
    hadamard,
    kept_teachers,
    levelling,
    log_sum_loss,
    masked_loss,
    normalised_loss,
    patch_similarity_loss,
    phi_s,
    queue_loss,
    random_patches,
    resized,
)
from kdzoo_foundation.functional.vkd import whitened

ORDER = torch.tensor([2, 0, 3, 1])


def draw(*shape, seed=0):
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.requires_grad_()


def test_the_feature_loss_by_hand():
    student = torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[4.0, 3.0], [0.0, 3.0]], dtype=torch.float64)
    # cosines 24/25 and 0; smooth-L1: differences (1, 1) give 1/2 each, (1, 3) give 1/2 and 5/2
    losses = feature_loss(student, teacher, reduction="none")
    expected = torch.tensor([0.9 / 25 + 0.1 * 0.5, 0.9 + 0.1 * 1.5], dtype=torch.float64)
    torch.testing.assert_close(losses, expected)
    squares = feature_loss(student, teacher, loss="mse", reduction="none")
    torch.testing.assert_close(squares, torch.tensor([1.0, 5.0], dtype=torch.float64))
    only = feature_loss(student, teacher, cosine=1.0, smooth=0.0)
    torch.testing.assert_close(only, torch.tensor((1 / 25 + 1) / 2, dtype=torch.float64))


def test_the_loss_of_a_map_is_the_mean_over_its_positions():
    student, teacher = draw(4, 3, 2, 2), draw(4, 3, 2, 2, seed=1)
    found = feature_loss(student, teacher, reduction="none")
    positions = [
        feature_loss(student[..., row, column], teacher[..., row, column], reduction="none")
        for row in (0, 1)
        for column in (0, 1)
    ]
    torch.testing.assert_close(found, torch.stack(positions).mean(dim=0))


@pytest.mark.parametrize("loss", ["cosine", "mse"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 2)])
def test_the_feature_loss_has_the_right_gradient_no_order_and_zero_for_equal_features(loss, shape):
    student, teacher = draw(*shape), draw(*shape, seed=1).detach()
    assert gradcheck(lambda one: feature_loss(one, teacher, loss=loss), student)
    losses = feature_loss(student, teacher, loss=loss, reduction="none")
    again = feature_loss(student[ORDER], teacher[ORDER], loss=loss, reduction="none")
    torch.testing.assert_close(again, losses[ORDER])
    torch.testing.assert_close(
        feature_loss(teacher, teacher, loss=loss), torch.zeros((), dtype=torch.float64)
    )


@pytest.mark.parametrize("bad", [{"loss": "l1"}, {"reduction": "sum"}])
def test_unknown_choices_are_refused(bad):
    with pytest.raises(ValueError, match="must be"):
        feature_loss(draw(2, 3), draw(2, 3), **bad)
    with pytest.raises(ValueError, match="same shape"):
        feature_loss(draw(2, 3), draw(2, 4))


def test_patch_similarities_by_hand():
    """Three patches: a row has the cosines with the two others, and its loss is that of a coin."""
    teacher = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)[None, :, None]
    student = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)[None, :, None]
    high, low = math.exp(1) / (math.exp(1) + 1), 1 / (math.exp(1) + 1)
    # rows of the teacher: (0, 1), (0, 0), (1, 0); of the student: (1, 0), (1, 0), (0, 0)
    first = low * math.log(low / high) + high * math.log(high / low)
    second = 0.5 * math.log(0.5 / high) + 0.5 * math.log(0.5 / low)
    third = high * math.log(high / 0.5) + low * math.log(low / 0.5)
    found = patch_similarity_loss(student, teacher, temperature=1.0)
    torch.testing.assert_close(found, torch.tensor((first + second + third) / 3, dtype=torch.float64))


def test_patch_similarities_have_the_right_gradient_no_order_and_zero_for_equal_maps():
    student, teacher = draw(4, 3, 2, 2), draw(4, 5, 2, 2, seed=1).detach()
    assert gradcheck(lambda one: patch_similarity_loss(one, teacher, temperature=0.5), student)
    losses = patch_similarity_loss(student, teacher, reduction="none")
    again = patch_similarity_loss(student[ORDER], teacher[ORDER], reduction="none")
    torch.testing.assert_close(again, losses[ORDER])
    turned, _ = torch.linalg.qr(draw(5, 5, seed=2).detach())
    same = torch.einsum("oc,bchw->bohw", 3 * turned, teacher)
    zero = patch_similarity_loss(same, teacher)
    torch.testing.assert_close(zero, torch.zeros((), dtype=torch.float64), atol=1e-12, rtol=0)
    for ours, theirs in ((student, teacher[..., :1]), (student[..., :1, :1], teacher[..., :1, :1])):
        with pytest.raises(ValueError, match="same grid of two positions"):
            patch_similarity_loss(ours, theirs)


def test_resizing_keeps_means_and_does_nothing_to_equal_grids():
    student = draw(2, 3, 4, 4).detach()
    assert resized(student, torch.zeros(2, 7, 4, 4)) is student
    constant = torch.full((2, 3, 4, 4), 2.5)
    for side in (2, 7):
        torch.testing.assert_close(
            resized(constant, torch.zeros(2, 7, side, side))[:, :, 0, 0], constant[:, :, 0, 0]
        )


@pytest.mark.parametrize("order", [1, 2, 4, 8, 12, 20, 24, 28, 36, 48, 64, 76, 192, 384, 1152])
def test_hadamard_matrices_are_orthogonal_with_entries_of_one(order):
    found = hadamard(order)
    assert found.shape == (order, order)
    assert set(found.unique().tolist()) <= {-1.0, 1.0}
    torch.testing.assert_close(found @ found.T, order * torch.eye(order, dtype=torch.float64))


@pytest.mark.parametrize("order", [3, 5, 6, 10, 92])
def test_orders_without_a_known_construction(order):
    assert hadamard(order) is None
    values = draw(order).detach().square() + 0.1
    turned = levelling(values)
    torch.testing.assert_close(turned @ turned.T, torch.eye(order, dtype=torch.float64))
    diagonal = (turned @ values.diag() @ turned.T).diagonal()
    torch.testing.assert_close(diagonal, values.mean().expand(order))


@pytest.mark.parametrize("channels", [5, 8])
def test_phi_s_gives_every_channel_variance_one_and_scales_every_distance_alike(channels):
    rows = draw(400, channels).detach() @ draw(channels, channels, seed=1).detach()
    rows = rows - rows.mean(dim=0)
    covariance = rows.T @ rows / len(rows)
    matrix = phi_s(covariance)
    after = rows @ matrix.T
    torch.testing.assert_close(after.square().mean(dim=0), torch.ones(channels, dtype=torch.float64))
    scale = covariance.diagonal().mean().sqrt()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(channels, dtype=torch.float64) / scale**2)


def test_phi_s_refuses_features_that_do_not_vary():
    with pytest.raises(ValueError, match="same for every image"):
        phi_s(torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"\(C, C\)"):
        phi_s(torch.zeros(3, 2))


def test_the_worst_fitted_teacher_is_always_kept_and_others_by_chance():
    losses = draw(3, 4000).detach().abs()
    kept = kept_teachers(losses, 0.25, torch.Generator().manual_seed(0))
    worst = losses.argmax(dim=0)
    assert bool((kept.gather(0, worst[None]) == 1).all())
    others = torch.ones_like(kept).scatter_(0, worst[None], 0).bool()
    assert abs(float(kept[others].mean()) - 0.75) < 0.02
    assert bool((kept_teachers(losses, 0.0) == 1).all())


def test_the_queue_loss_by_hand():
    student = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[0.0, 3.0]], dtype=torch.float64)
    queue = torch.tensor([[5.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    # classes: own embedding, then the queue; cosines of the teacher (1, 0, -1), of the student (0, 1, 0)
    theirs = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64).softmax(0)
    ours = (torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64) / 0.5).log_softmax(0)
    found = queue_loss(student, teacher, queue, temperature=0.5, teacher_temperature=1.0)
    torch.testing.assert_close(found, -(theirs * ours).sum())
    first = queue_loss(student, teacher, queue[:1], temperature=0.5, teacher_temperature=1.0)
    masked = queue_loss(
        student,
        teacher,
        queue,
        temperature=0.5,
        teacher_temperature=1.0,
        filled=torch.tensor([True, False]),
    )
    torch.testing.assert_close(masked, first)


def test_the_queue_loss_has_the_right_gradient_no_order_and_is_least_for_the_teacher():
    student, teacher, queue = draw(4, 3), draw(4, 3, seed=1).detach(), draw(6, 3, seed=2).detach()
    filled = torch.tensor([True, True, False, True, True, False])
    assert gradcheck(
        lambda one: queue_loss(one, teacher, queue, teacher_temperature=0.1, filled=filled), student
    )
    losses = queue_loss(student, teacher, queue, reduction="none")
    torch.testing.assert_close(
        queue_loss(student[ORDER], teacher[ORDER], queue, reduction="none"), losses[ORDER]
    )
    same = teacher.clone().requires_grad_()
    queue_loss(same, teacher, queue, temperature=0.1, teacher_temperature=0.1).backward()
    torch.testing.assert_close(same.grad, torch.zeros_like(same), atol=1e-10, rtol=0)
    with pytest.raises(ValueError, match="queue"):
        queue_loss(student, teacher, queue[:, :2])


def test_the_log_sum_by_hand():
    student = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    teacher = torch.tensor([[8.0], [4.0]], dtype=torch.float64)
    # normalised over the batch: (-1, 1) and (1, -1); the fourth power of 2 is 16
    found = log_sum_loss(student, teacher)
    torch.testing.assert_close(found, torch.tensor(math.log(16), dtype=torch.float64), atol=1e-4, rtol=0)
    assert log_sum_loss(3 * teacher + 7, teacher) < -10
    assert gradcheck(lambda one: log_sum_loss(one, draw(4, 3, seed=1).detach()), draw(4, 3))
    ours, theirs = draw(4, 3), draw(4, 3, seed=1)
    torch.testing.assert_close(log_sum_loss(ours[ORDER], theirs[ORDER]), log_sum_loss(ours, theirs))
    with pytest.raises(ValueError, match="same shape"):
        log_sum_loss(ours, theirs[:, :2])


def test_the_normalised_loss():
    student, teacher = draw(4, 3), draw(4, 3, seed=1).detach()
    layered = functional.layer_norm(teacher, (3,))
    for norm, wanted in (("layer", layered), ("none", teacher), ("whiten", whitened(teacher))):
        assert normalised_loss(wanted, teacher, norm=norm) == 0
        assert gradcheck(lambda one, norm=norm: normalised_loss(one, teacher, norm=norm), student)
        losses = normalised_loss(student, teacher, norm=norm, reduction="none")
        again = normalised_loss(student[ORDER], teacher[ORDER], norm=norm, reduction="none")
        torch.testing.assert_close(again, losses[ORDER])
    found = normalised_loss(torch.zeros(1, 2), torch.tensor([[0.5, 3.0]]), norm="none")
    torch.testing.assert_close(found, torch.tensor((0.125 + 2.5) / 2))
    with pytest.raises(ValueError, match="norm must be"):
        normalised_loss(student, teacher, norm="batch")


def test_whitened_features_have_the_identity_as_covariance():
    rows = draw(50, 4).detach() @ draw(4, 4, seed=1).detach()
    found = whitened(rows)
    torch.testing.assert_close(found.T @ found / 50, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(4, dtype=torch.float64), atol=1e-10, rtol=0)


def test_the_masked_loss_by_hand():
    student = torch.zeros(2, 2, 1, 2, dtype=torch.float64)
    teacher = torch.tensor([[[[1.0, 9.0]], [[3.0, 9.0]]], [[[1.0, 2.0]], [[1.0, 4.0]]]], dtype=torch.float64)
    mask = torch.tensor([[[[True, False]]], [[[True, True]]]])
    losses = masked_loss(student, teacher, mask, reduction="none")
    torch.testing.assert_close(losses, torch.tensor([5.0, (1.0 + 10.0) / 2], dtype=torch.float64))
    assert masked_loss(student, teacher, torch.zeros_like(mask)) == 0
    assert masked_loss(teacher, teacher, mask) == 0
    with pytest.raises(ValueError, match="mask"):
        masked_loss(student, teacher, mask[:, :, :, :1])


def test_the_masked_loss_has_the_right_gradient_and_no_order():
    student, teacher = draw(4, 3, 2, 2), draw(4, 3, 2, 2, seed=1).detach()
    mask = random_patches(student.shape, 0.5, torch.Generator().manual_seed(0), student.device)
    assert gradcheck(lambda one: masked_loss(one, teacher, mask), student)
    losses = masked_loss(student, teacher, mask, reduction="none")
    again = masked_loss(student[ORDER], teacher[ORDER], mask[ORDER], reduction="none")
    torch.testing.assert_close(again, losses[ORDER])


def test_patches_are_hidden_with_the_given_probability():
    mask = random_patches(
        torch.Size((100, 3, 8, 8)), 0.3, torch.Generator().manual_seed(0), torch.device("cpu")
    )
    assert mask.shape == (100, 1, 8, 8)
    assert abs(float(mask.float().mean()) - 0.3) < 0.02
