from itertools import product

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_relation.functional import rkd_angle_loss, rkd_distance_loss, rkd_loss


def normal(seed, *shape):
    """The catalogue's fixed tensors: numpy's RandomState stream is frozen by NumPy policy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


@pytest.fixture
def student():
    return normal(20, 8, 16).requires_grad_()


@pytest.fixture
def teacher():
    return normal(21, 8, 16)


def gradient(loss, tensor):
    return torch.autograd.grad(loss, tensor)[0]


def huber(difference):
    size = abs(difference)
    return 0.5 * size**2 if size < 1 else size - 0.5


def distance_by_hand(student, teacher):
    def relative(points):
        table = np.array([[np.linalg.norm(a - b) for b in points] for a in points])
        return table / table[~np.eye(len(points), dtype=bool)].mean()

    return np.mean([huber(x) for x in (relative(student) - relative(teacher)).flat])


def angle_by_hand(student, teacher):
    def cosine(points, i, j, k):
        if i == j or k == j:
            return 0.0
        a, b = points[i] - points[j], points[k] - points[j]
        return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))

    triplets = list(product(range(len(student)), repeat=3))
    return np.mean([huber(cosine(student, *ijk) - cosine(teacher, *ijk)) for ijk in triplets])


def test_rkd_has_the_reference_values(student, teacher):
    loss = rkd_loss(student, teacher, distance_weight=25.0, angle_weight=50.0)
    assert loss.item() == pytest.approx(1.02629332605, rel=1e-6)
    assert gradient(loss, student).norm().item() == pytest.approx(0.527791912, rel=1e-6)
    assert rkd_distance_loss(student, teacher).item() == pytest.approx(0.01190941546, rel=1e-6)
    assert rkd_angle_loss(student, teacher).item() == pytest.approx(0.01457115879, rel=1e-6)


@pytest.mark.parametrize("spread", [1.0, 5.0])
def test_both_terms_are_their_definitions(spread):
    """The widths of the embeddings differ; the wide spread reaches the linear part of Huber's loss."""
    student = normal(0, 5, 3)
    student[0] *= spread**2
    teacher = normal(1, 5, 7)
    expected = distance_by_hand(student.numpy(), teacher.numpy())
    assert rkd_distance_loss(student, teacher).item() == pytest.approx(expected, rel=1e-9)
    expected = angle_by_hand(student.numpy(), teacher.numpy())
    assert rkd_angle_loss(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_gradients_are_right_on_both_sides():
    student, teacher = normal(0, 4, 3).requires_grad_(), normal(1, 4, 2).requires_grad_()
    assert gradcheck(rkd_loss, (student, teacher))


def test_moving_turning_and_scaling_all_embeddings_changes_nothing(teacher):
    turn, _ = torch.linalg.qr(normal(5, 16, 16))
    moved = (3.0 * teacher @ turn + normal(6, 16)).requires_grad_()
    loss = rkd_loss(moved, teacher)
    assert loss.item() < 1e-12
    assert gradient(loss, moved).norm().item() < 1e-6


def test_nothing_to_learn_from_an_equal(student):
    loss = rkd_loss(student, student.detach())
    assert loss.item() == 0.0
    assert gradient(loss, student).norm().item() == 0.0


def test_the_order_of_the_batch_does_not_matter(student, teacher):
    order = torch.from_numpy(np.random.RandomState(0).permutation(8))
    torch.testing.assert_close(rkd_loss(student, teacher), rkd_loss(student[order], teacher[order]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("gap", [0.0, 1e-9])
def test_a_duplicate_does_not_blow_up_the_gradient(dtype, gap, teacher):
    """A normalisation with an epsilon of 1e-12 has a gradient of norm 2.6e11 here."""
    points = normal(20, 8, 16)
    alone = points.to(dtype, copy=True).requires_grad_()
    usual = gradient(rkd_loss(alone, teacher.to(dtype)), alone).norm().item()
    points[3] = points[5] + gap
    points = points.to(dtype).requires_grad_()
    loss = rkd_loss(points, teacher.to(dtype))
    assert loss.isfinite()
    assert gradient(loss, points).norm().item() < 10 * usual


def test_float32_is_enough_beside_a_near_pair_far_from_the_origin():
    points, teacher = normal(0, 32, 64) + 2.0, normal(1, 32, 48)
    points[3] = points[5] + 1e-3 * normal(2, 64)
    single = points.float().requires_grad_()
    points.requires_grad_()
    expected, loss = rkd_angle_loss(points, teacher), rkd_angle_loss(single, teacher.float())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    exact = gradient(expected, points)
    assert (gradient(loss, single) - exact).norm() < 0.01 * exact.norm()


def test_a_duplicate_of_the_teacher_is_harmless(student, teacher):
    teacher[3] = teacher[5]
    teacher.requires_grad_()
    loss = rkd_loss(student, teacher)
    assert loss.isfinite()
    assert gradient(loss, teacher).norm().item() < 100  # a generator may learn through the teacher


@pytest.mark.parametrize("points", [torch.ones(6, 4), torch.zeros(6, 4), torch.ones(1, 4), torch.eye(2, 4)])
def test_degenerate_batches_are_finite(points):
    points = points.clone().requires_grad_()
    loss = rkd_loss(points, normal(1, len(points), 4).float())
    assert loss.isfinite()
    assert gradient(loss, points).isfinite().all()


def test_a_term_of_weight_zero_is_left_out(student, teacher):
    distance, angle = rkd_distance_loss(student, teacher), rkd_angle_loss(student, teacher)
    torch.testing.assert_close(
        rkd_loss(student, teacher, distance_weight=2.0, angle_weight=0.0), 2 * distance
    )
    torch.testing.assert_close(rkd_loss(student, teacher, distance_weight=0.0, angle_weight=3.0), 3 * angle)
    assert rkd_loss(student, teacher, distance_weight=0.0, angle_weight=0.0).item() == 0.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype, student, teacher):
    half = rkd_loss(student.to(dtype), teacher.to(dtype))
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(rkd_loss(student, teacher).item(), rel=0.05)


def test_autocast_changes_nothing(student, teacher):
    student, teacher = student.float(), teacher.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = rkd_loss(student, teacher)
    torch.testing.assert_close(loss, rkd_loss(student, teacher), rtol=0, atol=0)


def test_what_is_not_two_matrices_of_one_batch_is_refused(student, teacher):
    for loss in (rkd_loss, rkd_distance_loss, rkd_angle_loss):
        with pytest.raises(ValueError, match=r"not \(8, 16\) and \(7, 16\)"):
            loss(student, teacher[:7])


def test_nothing_depends_on_values_on_the_host():
    """The meta device has no values to read; a GPU would have to stop and wait for them."""
    embedding = torch.empty(8, 16, device="meta")
    assert rkd_loss(embedding, embedding).shape == ()
