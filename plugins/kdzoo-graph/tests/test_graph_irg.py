import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo.api import Batch, KdzooError, Output
from kdzoo_graph.functional import (
    irg_edge_loss,
    irg_edge_transformation_loss,
    irg_edges,
    irg_transformation,
    irg_transformation_loss,
    irg_vertex_loss,
)
from kdzoo_graph.irg import IRG

BATCH = Batch(torch.arange(6), {"image": torch.zeros(6, 3, 2, 2)})


def normal(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def output(seed, *widths, size=2):
    features = tuple(normal(seed + i, 6, width, size, size) for i, width in enumerate(widths))
    return Output(normal(seed + 10, 6, 3), features, normal(seed + 11, 6, 5 + seed))


def squares(points):
    table = np.array([[((a - b) ** 2).sum() for b in points] for a in points])
    return table / table.max()


def test_edges_are_squared_distances_over_the_largest():
    points = normal(0, 6, 4)
    np.testing.assert_allclose(irg_edges(points).numpy(), squares(points.numpy()), rtol=1e-12, atol=1e-12)


def test_the_edge_loss_is_the_mean_over_all_pairs():
    student, teacher = normal(20, 8, 16), normal(21, 8, 24)
    expected = ((squares(student.numpy()) - squares(teacher.numpy())) ** 2).mean()
    assert irg_edge_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_moving_turning_and_scaling_a_graph_changes_no_edge():
    points = normal(0, 6, 4)
    turn, _ = torch.linalg.qr(normal(5, 4, 4))
    torch.testing.assert_close(irg_edges(3.0 * points @ turn + normal(6, 4)), irg_edges(points))


def test_the_vertex_loss_is_the_mean_squared_difference():
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 4.0], [3.0, 4.0]])
    assert irg_vertex_loss(student, teacher).tolist() == [2.0, 12.5]
    assert irg_vertex_loss(student, teacher, reduction="mean").item() == 7.25


def test_a_transformation_is_how_far_each_sample_moved():
    shallow = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    deep = torch.tensor([[3.0, 4.0], [1.0, 2.0], [2.0, 0.0]])
    torch.testing.assert_close(irg_transformation(shallow, deep), torch.tensor([1.0, 0.04, 0.0]))


@pytest.mark.parametrize("swap", [False, True])
def test_neighbouring_channels_of_the_wider_stage_are_averaged(swap):
    narrow, wide = normal(0, 5, 3), normal(1, 5, 6)
    folded = (wide[:, 0::2] + wide[:, 1::2]) / 2
    moved = (narrow - folded).square().sum(dim=1)
    pair = (wide, narrow) if swap else (narrow, wide)
    torch.testing.assert_close(irg_transformation(*pair), moved / moved.max())


def test_the_transformation_losses_are_their_definitions():
    student, teacher = (normal(0, 5, 3), normal(1, 5, 4)), (normal(2, 5, 6), normal(3, 5, 6))
    difference = irg_transformation(*student) - irg_transformation(*teacher)
    torch.testing.assert_close(irg_transformation_loss(student, teacher), difference**2)
    changes = [squares(deep.numpy()) - squares(shallow.numpy()) for shallow, deep in (student, teacher)]
    expected = ((changes[0] - changes[1]) ** 2).mean()
    assert irg_edge_transformation_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_gradients_are_right_on_both_sides():
    student, teacher = normal(0, 4, 3).requires_grad_(), normal(1, 4, 2).requires_grad_()
    deep, above = normal(2, 4, 6).requires_grad_(), normal(3, 4, 3).requires_grad_()
    assert gradcheck(irg_edge_loss, (student, teacher))
    assert gradcheck(
        lambda *all_: irg_transformation_loss(all_[:2], all_[2:]), (student, deep, teacher, above)
    )
    assert gradcheck(
        lambda *all_: irg_edge_transformation_loss(all_[:2], all_[2:]), (student, deep, teacher, above)
    )


@pytest.mark.parametrize("points", [torch.zeros(4, 3), torch.ones(4, 3), torch.ones(1, 3)])
def test_equal_samples_are_finite(points):
    points = points.requires_grad_()
    teacher = normal(0, len(points), 3).float()
    loss = (
        irg_edge_loss(points, teacher) + irg_transformation_loss((points, points), (teacher, teacher)).sum()
    )
    assert loss.isfinite()
    assert torch.autograd.grad(loss, points)[0].isfinite().all()


def test_half_precision_is_computed_in_float32_under_autocast_too():
    student, teacher = normal(0, 8, 16), normal(1, 8, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = irg_edge_loss(student.bfloat16(), teacher.bfloat16())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(irg_edge_loss(student, teacher).item(), rel=0.05)


def test_what_is_not_one_batch_is_refused():
    with pytest.raises(ValueError, match=r"\(8, 4\) and \(7, 4\)"):
        irg_edge_loss(normal(0, 8, 4), normal(0, 7, 4))
    with pytest.raises(ValueError, match=r"\(8, 4\) and \(7, 4\)"):
        irg_transformation(normal(0, 8, 4), normal(0, 7, 4))
    with pytest.raises(ValueError, match=r"\(8, 4\) and \(8, 3\)"):
        irg_vertex_loss(normal(0, 8, 4), normal(0, 8, 3))
    with pytest.raises(ValueError, match=r"\(8, 4, 1\)"):
        irg_edges(normal(0, 8, 4, 1))


def test_the_knowledge_is_the_weighted_sum_of_its_terms():
    student, teacher = output(0, 4, 6, 8), output(1, 6, 12, 3)
    ours, theirs = ([feature.mean(dim=(2, 3)) for feature in one.features] for one in (student, teacher))
    expected = 2 * irg_vertex_loss(student.logits, teacher.logits, reduction="mean")
    expected += 3 * irg_edge_loss(student.embedding, teacher.embedding)
    for stage in (0, 1):
        pairs = (ours[stage], ours[stage + 1]), (theirs[stage], theirs[stage + 1])
        expected += 5 * irg_transformation_loss(*pairs, reduction="mean")
        expected += 7 * irg_edge_transformation_loss(*pairs)
    loss = IRG(vertex=2.0, edge=3.0, transform=5.0, edge_transform=7.0)(student, teacher, BATCH)
    assert loss.shape == ()
    torch.testing.assert_close(loss, expected)


def test_nothing_to_learn_from_an_equal():
    student = output(0, 4, 6, 8)
    assert IRG(edge_transform=1.0)(student, student, BATCH).item() == 0.0


def test_the_order_of_the_batch_does_not_matter():
    student, teacher = output(0, 4, 6, 8), output(1, 6, 12, 3)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    turned = [one.map(lambda tensor: tensor[order]) for one in (student, teacher)]
    knowledge = IRG(edge_transform=1.0)
    torch.testing.assert_close(knowledge(student, teacher, BATCH), knowledge(*turned, BATCH))


def test_only_what_has_a_weight_is_asked_for():
    assert IRG().taps.student == (-3, -2, -1)
    assert IRG(transform=0.0).taps.student == ()
    assert IRG(transform=0.0, edge_transform=1.0).taps.student == (-3, -2, -1)
    assert not IRG(edge=0.0).taps.embedding


def test_vertices_need_the_same_classes():
    student, teacher = output(0, 4, 6, 8), output(1, 6, 12, 3)
    other = Output(normal(0, 6, 5), teacher.features, teacher.embedding)
    with pytest.raises(KdzooError, match=r"knowledge\.vertex=0"):
        IRG()(student, other, BATCH)
    assert IRG(vertex=0.0)(student, other, BATCH).item() > 0
