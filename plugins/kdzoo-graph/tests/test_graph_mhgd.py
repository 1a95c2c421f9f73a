import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo.api import Batch, Output
from kdzoo_graph.functional import graph_divergence, main_direction
from kdzoo_graph.mhgd import MHGD, Attention


def normal(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def output(seed, *shapes):
    return Output(
        torch.zeros(6, 3), tuple(normal(seed + i, 6, *s).requires_grad_() for i, s in enumerate(shapes))
    )


def built(student, teacher, **settings):
    torch.manual_seed(0)
    knowledge = MHGD(**{"heads": 2, "stages": tuple(range(-len(student.features), 0)), **settings})
    knowledge.build(student, teacher, SimpleNamespace(generator=lambda name: torch.Generator()))
    return knowledge


def batch(progress=0.5):
    return Batch(torch.arange(6), {"image": torch.zeros(6, 3, 2, 2)}, progress=progress)


@pytest.mark.parametrize("shape", [(5, 3, 4), (12, 2, 2), (7, 1, 1)])
def test_the_main_direction_is_the_first_singular_vector_along_the_mean(shape):
    feature = normal(0, 4, *shape) + 0.3
    direction = main_direction(feature)
    rows = feature.flatten(2).transpose(1, 2)
    _, _, right = torch.linalg.svd(rows, full_matrices=False)
    torch.testing.assert_close((direction * right[:, 0]).sum(dim=1).abs(), torch.ones(4).double())
    torch.testing.assert_close(direction.norm(dim=1), torch.ones(4).double())
    assert ((direction * rows.mean(dim=1)).sum(dim=1) > 0).all()


def test_its_gradient_converges_to_the_exact_one():
    feature = (0.2 * normal(0, 2, 3, 2, 2) + 1).requires_grad_()
    assert gradcheck(lambda x: main_direction(x, gradient_steps=30), (feature,))
    weight = normal(1, 2, 3)
    exact, short = (
        torch.autograd.grad((weight * main_direction(feature, gradient_steps=steps)).sum(), feature)[0]
        for steps in (30, 8)
    )
    torch.testing.assert_close(short, exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "feature",
    [
        torch.zeros(2, 3, 2, 2),
        torch.eye(4).reshape(1, 4, 2, 2),
        torch.ones(2, 3, 2, 2),
        1e-20 * torch.ones(2, 3, 1, 1),
    ],
)
def test_degenerate_maps_have_finite_gradients(feature):
    """Equal singular values, where the gradient of a decomposition is infinite, and dead maps."""
    feature = feature.clone().requires_grad_()
    direction = main_direction(feature)
    assert direction.isfinite().all()
    assert torch.autograd.grad(direction.sum(), feature)[0].isfinite().all()


def test_the_size_of_a_map_does_not_matter():
    feature = normal(0, 4, 5, 3, 3).float()
    torch.testing.assert_close(main_direction(1e6 * feature), main_direction(1e-6 * feature))


def test_the_divergence_is_of_the_student_from_the_teacher():
    student, teacher = normal(0, 2, 3, 3), normal(1, 2, 3, 3)
    for i, value in enumerate(graph_divergence(student, teacher)):
        expected = 0.0
        for head in range(2):
            p, q = (np.exp(np.tanh(one[head, i].numpy())) for one in (student, teacher))
            p, q = p / p.sum(), q / q.sum()
            expected += (p * np.log(p / q)).sum()
        assert value.item() == pytest.approx(expected, rel=1e-9)
    assert graph_divergence(student, student).abs().max().item() < 1e-12
    mean = graph_divergence(student, teacher, reduction="mean")
    torch.testing.assert_close(mean, graph_divergence(student, teacher).mean())


def test_gradients_of_the_divergence_are_right_on_both_sides():
    assert gradcheck(
        graph_divergence, (normal(0, 2, 3, 3).requires_grad_(), normal(1, 2, 3, 3).requires_grad_())
    )


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3, 3\) and \(2, 4, 4\)"):
        graph_divergence(normal(0, 2, 3, 3), normal(0, 2, 4, 4))
    with pytest.raises(ValueError, match=r"not \(3, 4\)"):
        main_direction(normal(0, 3, 4))


def test_a_graph_is_made_of_standardised_products():
    torch.manual_seed(0)
    heads = Attention(3, 5, 2).double()
    shallow, deep = normal(0, 6, 3), normal(1, 6, 5)

    def standard(value):
        return (value - value.mean(0)) / (value.var(0, correction=0) + 1e-5).sqrt()

    senders, receivers = standard(heads.sender(deep)), standard(heads.receiver(shallow))
    expected = torch.stack([senders[:, :4] @ receivers[:, :4].T, senders[:, 4:] @ receivers[:, 4:].T])
    torch.testing.assert_close(heads(shallow, deep), expected)
    scaled = Attention(3, 5, 2, scaled=True).double()
    scaled.load_state_dict(heads.state_dict())
    torch.testing.assert_close(scaled(shallow, deep), expected / math.sqrt(4))


def test_heads_are_as_wide_as_the_stages_in_the_mean_unless_told():
    student, teacher = output(0, (5, 3, 3), (6, 2, 2)), output(9, (4, 3, 3), (10, 2, 2))
    assert built(student, teacher).attentions[0].sender.out_features == 2 * 7
    assert built(student, teacher, width=3).attentions[0].sender.out_features == 2 * 3


@pytest.mark.parametrize("other", [[(4, 3, 3), (5, 2, 2), (7, 1, 1)], [(8, 2, 2)] * 3])
def test_every_parameter_and_every_stage_learns(other):
    student, teacher = output(0, (5, 3, 3), (6, 2, 2), (9, 1, 1)), output(9, *other)
    knowledge = built(student, teacher.detach())
    loss = knowledge(student, teacher.detach(), batch())
    assert loss.shape == (6,)
    loss.mean().backward()
    parameters = list(knowledge.parameters())
    assert len(parameters) == 3 + 2 * 5
    assert all(parameter.grad.abs().sum() > 0 for parameter in parameters)
    assert all(feature.grad.abs().sum() > 0 for feature in student.features)


def test_the_heads_learn_on_the_teacher_alone():
    """The student's pass through the heads gives them no gradient, and their own loss gives the student none."""
    student, teacher = output(0, (5, 3, 3), (6, 2, 2)), output(9, (5, 3, 3), (6, 2, 2)).detach()
    knowledge = built(student, teacher, estimate=0.0)
    knowledge(student, teacher, batch()).sum().backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in knowledge.parameters())
    assert all(feature.grad.any() for feature in student.features)
    student = output(0, (5, 3, 3), (6, 2, 2))
    knowledge = built(student, teacher)
    knowledge(student, teacher, batch(progress=0.0)).sum().backward()
    assert all(parameter.grad.any() for parameter in knowledge.parameters())
    assert not any(feature.grad.any() for feature in student.features)


def test_nothing_to_learn_from_an_equal():
    student = output(0, (5, 3, 3), (6, 2, 2)).detach()
    knowledge = built(student, student, estimate=0.0)
    assert not any(name.startswith("widen") for name, _ in knowledge.named_parameters())
    assert knowledge(student, student, batch()).abs().max().item() < 1e-12


def test_the_transfer_grows_over_the_warmup():
    student, teacher = output(0, (5, 3, 3), (6, 2, 2)).detach(), output(9, (5, 3, 3), (6, 2, 2)).detach()
    knowledge = built(student, teacher, estimate=0.0, warmup=0.2)
    zero, half, full, later = (
        knowledge(student, teacher, batch(p)).sum().item() for p in (0.0, 0.1, 0.2, 0.9)
    )
    assert zero == 0.0
    assert half == pytest.approx(full / 2)
    assert later == full > 0


def test_the_order_of_the_batch_only_reorders_the_loss():
    student, teacher = output(0, (5, 3, 3), (6, 2, 2)).detach(), output(9, (4, 3, 3), (7, 2, 2)).detach()
    knowledge = built(student, teacher, estimate=0.0)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    turned = [one.map(lambda tensor: tensor[order]) for one in (student, teacher)]
    torch.testing.assert_close(knowledge(student, teacher, batch())[order], knowledge(*turned, batch()))


def test_a_batch_of_one_is_finite():
    student, teacher = output(0, (5, 3, 3), (6, 2, 2)), output(9, (4, 3, 3), (7, 2, 2)).detach()
    knowledge = built(student, teacher)
    one = [side.map(lambda tensor: tensor[:1]) for side in (student, teacher)]
    loss = knowledge(*one, batch())
    loss.sum().backward()
    assert loss.isfinite().all()
    assert all(feature.grad.isfinite().all() for feature in student.features)


def test_it_is_computed_in_float32_under_autocast():
    student, teacher = (
        output(seed, (5, 3, 3), (6, 2, 2)).detach().map(torch.Tensor.float) for seed in (0, 9)
    )
    knowledge = built(student, teacher, estimate=0.0)
    expected = knowledge(student, teacher, batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(knowledge(student, teacher, batch()), expected, rtol=0, atol=0)
    half = [one.map(torch.Tensor.bfloat16) for one in (student, teacher)]
    assert knowledge(*half, batch()).dtype == torch.float32
