import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_graph.functional import local_structure, lsp_loss

# Node 0 hears 1, 2 and 3; node 1 hears 0 and 2; node 2 hears 0; nobody is heard by 3 and 4.
EDGES = torch.tensor([[1, 2, 3, 0, 2, 0], [0, 0, 0, 1, 1, 2]])
KERNELS = {
    "euclidean": lambda a, b: ((a - b) ** 2).sum(),
    "linear": lambda a, b: a @ b,
    "polynomial": lambda a, b: (a @ b) ** 2,
    "rbf": lambda a, b: np.exp(-((a - b) ** 2).sum() / (2 * 3.0)),
    "laplacian": lambda a, b: np.exp(-abs(a - b).sum() / 3.0),
}


def normal(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def by_hand(nodes, kernel):
    """For each node its neighbours' weights."""
    likeness = [np.exp(KERNELS[kernel](nodes[j], nodes[i])) for j, i in zip(*EDGES.tolist(), strict=True)]
    total = np.zeros(len(nodes))
    np.add.at(total, EDGES[1].numpy(), likeness)
    return np.array(likeness) / total[EDGES[1].numpy()]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("direction", ["paper", "code"])
def test_the_loss_is_its_definition(kernel, direction):
    student, teacher = normal(0, 5, 3), normal(1, 5, 4)
    ours, theirs = by_hand(student.numpy(), kernel), by_hand(teacher.numpy(), kernel)
    weights = local_structure(student, EDGES, kernel=kernel, sigma=3.0).exp()
    np.testing.assert_allclose(weights.numpy(), ours, rtol=1e-9)
    if direction == "code":
        ours, theirs = theirs, ours
    expected = np.zeros(5)
    np.add.at(expected, EDGES[1].numpy(), ours * np.log(ours / theirs))
    settings = {"kernel": kernel, "sigma": 3.0, "direction": direction}
    loss = lsp_loss(student, teacher, EDGES, reduction="none", **settings)
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-9, atol=1e-12)
    assert lsp_loss(student, teacher, EDGES, **settings).item() == pytest.approx(expected.mean())


def test_a_node_with_one_neighbour_or_none_has_nothing_to_keep():
    loss = lsp_loss(normal(0, 5, 3), normal(1, 5, 4), EDGES, reduction="none")
    assert loss[2:].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_are_right_on_both_sides(kernel):
    student, teacher = normal(0, 5, 3).requires_grad_(), normal(1, 5, 4).requires_grad_()
    assert gradcheck(lambda a, b: lsp_loss(a, b, EDGES, kernel=kernel, sigma=3.0), (student, teacher))


@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_to_learn_from_an_equal(kernel):
    student = normal(0, 5, 3).requires_grad_()
    loss = lsp_loss(student, student.detach(), EDGES, kernel=kernel)
    assert loss.item() == pytest.approx(0.0, abs=1e-15)
    assert torch.autograd.grad(loss, student)[0].abs().max().item() < 1e-12


def test_the_order_of_nodes_and_edges_does_not_matter():
    student, teacher = normal(0, 5, 3), normal(1, 5, 4)
    order = torch.tensor([3, 0, 4, 1, 2])
    renamed = torch.argsort(order)[EDGES[:, [5, 2, 0, 1, 4, 3]]]
    expected = lsp_loss(student, teacher, EDGES, sigma=3.0, reduction="none")[order]
    loss = lsp_loss(student[order], teacher[order], renamed, sigma=3.0, reduction="none")
    torch.testing.assert_close(loss, expected)


def test_great_likenesses_do_not_overflow():
    student, teacher = 100 * normal(0, 5, 3).float(), 100 * normal(1, 5, 4).float()
    student.requires_grad_()
    loss = lsp_loss(student, teacher, EDGES, kernel="polynomial")
    assert loss.isfinite()
    assert torch.autograd.grad(loss, student)[0].isfinite().all()


def test_half_precision_is_computed_in_float32():
    student, teacher = normal(0, 5, 3), normal(1, 5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = lsp_loss(student.bfloat16(), teacher.bfloat16(), EDGES, sigma=3.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(lsp_loss(student, teacher, EDGES, sigma=3.0).item(), rel=0.05)


def test_shapes_and_kernels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(5, 3\) and \(4, 3\)"):
        lsp_loss(normal(0, 5, 3), normal(0, 4, 3), EDGES)
    with pytest.raises(ValueError, match=r"\(6, 2\)"):
        lsp_loss(normal(0, 5, 3), normal(0, 5, 3), EDGES.T)
    with pytest.raises(ValueError, match="'cosine'"):
        lsp_loss(normal(0, 5, 3), normal(0, 5, 3), EDGES, kernel="cosine")
