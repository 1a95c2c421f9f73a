import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo.api import Batch, Output, softened_kl
from kdzoo.registry.load import load_registry
from kdzoo.zoo import Zoo
from kdzoo_attention.functional import cross_layer_loss, layer_attention, similarity_profiles
from kdzoo_attention.semckd import SemCKD

FORMS = pytest.mark.parametrize("form", ["paper", "code"])
OURS, THEIRS = [(4, 6, 6), (6, 3, 3)], [(5, 7, 7), (3, 3, 3), (4, 2, 2)]


def normal(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def output(shapes, seed=0, batch=5):
    features = tuple(
        normal(seed + number, batch, *shape).float().requires_grad_() for number, shape in enumerate(shapes)
    )
    return Output(normal(seed + 50, batch, 3).float().requires_grad_(), features)


def rows(count):
    return Batch(torch.arange(count), {"image": torch.zeros(count, 3, 2, 2)})


def built(student, teacher, **settings):
    torch.manual_seed(0)
    knowledge = SemCKD(stages=(-2, -1), teacher_stages=(-3, -2, -1), **settings)
    knowledge.build(student, teacher, None)
    return knowledge


def test_a_profile_is_the_sorted_row_of_cosines():
    feature = normal(0, 6, 3, 2, 2)
    flat = feature.flatten(1).numpy()
    cosines = flat @ flat.T / np.outer(np.linalg.norm(flat, axis=1), np.linalg.norm(flat, axis=1))
    expected = -np.sort(-cosines, axis=1)
    torch.testing.assert_close(similarity_profiles(feature, 6), torch.from_numpy(expected))
    finer = similarity_profiles(feature, 11)  # every second value is one of the six, the others lie halfway
    torch.testing.assert_close(finer[:, ::2], torch.from_numpy(expected))
    torch.testing.assert_close(finer[:, 1::2], torch.from_numpy((expected[:, 1:] + expected[:, :-1]) / 2))


def test_a_profile_knows_neither_order_nor_size_of_the_batch():
    feature = normal(1, 6, 3, 2, 2)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(similarity_profiles(feature)[order], similarity_profiles(feature[order]))
    for count in (1, 2, 6):
        assert similarity_profiles(feature[:count], 8).shape == (count, 8)
    assert similarity_profiles(feature[:1], 8).tolist() == [pytest.approx([1.0] * 8)]


@FORMS
def test_it_is_its_definition(form):
    teachers = [normal(seed, 5, *shape) for seed, shape in enumerate(THEIRS)]
    projected = [[normal(20 + s, *one.shape) for one in teachers] for s in range(2)]
    attention = torch.softmax(normal(9, 5, 2, 3), dim=2)
    expected = np.zeros(5)
    for b in range(5):
        for s in range(2):
            for t in range(3):
                squares = (projected[s][t][b] - teachers[t][b]).numpy() ** 2
                expected[b] += attention[b, s, t].item() * squares.mean() / (2 if form == "code" else 1)
    loss = cross_layer_loss(projected, teachers, attention, form=form, reduction="none")
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-9)
    mean = cross_layer_loss(projected, teachers, attention, form=form)
    assert mean.item() == pytest.approx(expected.mean())


def test_a_larger_teacher_is_pooled():
    student, teacher = normal(0, 2, 3, 2, 2), normal(1, 2, 3, 4, 4)
    pooled = teacher.reshape(2, 3, 2, 2, 2, 2).mean((3, 5))
    torch.testing.assert_close(
        cross_layer_loss([[student]], [teacher], torch.ones(2, 1, 1)), (student - pooled).square().mean()
    )


def test_attention_is_a_softmax_over_the_teachers_layers():
    queries, keys = normal(0, 4, 2, 5), normal(1, 4, 3, 5)
    expected = [[[queries[b, s].dot(keys[b, t]) for t in range(3)] for s in range(2)] for b in range(4)]
    torch.testing.assert_close(
        layer_attention(queries, keys), torch.softmax(torch.tensor(expected, dtype=torch.float64), 2)
    )


@FORMS
def test_gradients_are_right(form):
    projected, teacher = normal(0, 3, 2, 2, 2).requires_grad_(), normal(1, 3, 2, 3, 3).requires_grad_()
    scores = normal(2, 3, 1, 2).requires_grad_()

    def loss(ours, theirs, scores):
        return cross_layer_loss([[ours, 2 * ours]], [theirs, theirs], torch.softmax(scores, 2), form=form)

    assert gradcheck(loss, (projected, teacher, scores))
    assert gradcheck(lambda feature: similarity_profiles(feature, 5), (normal(3, 3, 2, 2).requires_grad_(),))


def test_nothing_to_learn_from_an_equal():
    maps = [normal(0, 3, 2, 2, 2), normal(1, 3, 4, 3, 3)]
    assert cross_layer_loss([maps, maps], maps, torch.rand(3, 2, 2)).item() == 0.0


def test_every_parameter_and_every_layer_learns():
    student, teacher = output(OURS), output(THEIRS, 10)
    knowledge = built(student, teacher)
    loss = knowledge(student, teacher.detach(), rows(5))
    assert loss.shape == (5,)
    loss.square().sum().backward()
    parameters = list(knowledge.parameters())
    assert len(parameters) == 5 * 4 + 6 * 8
    assert all(parameter.grad.abs().sum() > 0 for parameter in parameters)
    assert all(feature.grad.abs().sum() > 0 for feature in (*student.features, student.logits))


@pytest.mark.parametrize("count", [1, 3, 5])
def test_any_batch_size_works_after_it_is_built(count):
    """The authors' code is built for one batch size and cannot take another."""
    student, teacher = output(OURS), output(THEIRS, 10)
    knowledge = built(student, teacher)
    part = [one.map(lambda tensor: tensor[:count]) for one in (student, teacher)]
    loss = knowledge(*part, rows(count))
    assert loss.shape == (count,)
    assert loss.isfinite().all()


def test_the_order_of_the_batch_does_not_matter():
    student, teacher = output(OURS).detach(), output(THEIRS, 10).detach()
    knowledge = built(student, teacher)
    order = torch.tensor([2, 0, 4, 3, 1])
    mixed = [one.map(lambda tensor: tensor[order]) for one in (student, teacher)]
    torch.testing.assert_close(
        knowledge(*mixed, rows(5)), knowledge(student, teacher, rows(5))[order], rtol=1e-4, atol=1e-5
    )


def test_the_logits_are_taught_too_and_can_be_left_out():
    student, teacher = output(OURS).detach(), output(THEIRS, 10).detach()
    both = built(student, teacher, soft_weight=0.5, temperature=2.0)(student, teacher, rows(5))
    layers = built(student, teacher, soft_weight=0.0)(student, teacher, rows(5))
    torch.testing.assert_close(both - layers, 0.5 * softened_kl(student.logits, teacher.logits, 2.0))


def test_the_code_form_is_the_mean_over_the_students_layers():
    student, teacher = output(OURS).detach(), output(THEIRS, 10).detach()
    paper, code = (
        built(student, teacher, soft_weight=0.0, form=form)(student, teacher, rows(5))
        for form in ("paper", "code")
    )
    torch.testing.assert_close(paper, 2 * code)


def test_the_methods_weight_is_that_of_the_mean():
    """The authors' 400 stands before a loss that they divide by the number of the student's layers."""
    method = load_registry(Zoo()).methods["semckd"]
    settings = method.knowledge[0].settings
    assert (settings["form"], method.algorithm.settings["teach_weight"]) == ("code", 400.0)
    assert settings["soft_weight"] * method.algorithm.settings["teach_weight"] == 1.0
    student, teacher = output(OURS).detach(), output(THEIRS, 10).detach()
    torch.testing.assert_close(
        built(student, teacher)(student, teacher, rows(5)),
        built(student, teacher, **settings)(student, teacher, rows(5)),
    )


def test_half_precision_is_computed_in_float32():
    student, teacher = (output(shapes).map(torch.Tensor.bfloat16) for shapes in (OURS, THEIRS))
    assert built(student, teacher)(student, teacher, rows(5)).dtype == torch.float32


def test_bad_arguments_are_refused():
    maps = [normal(0, 3, 2, 2, 2)]
    attention = torch.ones(3, 1, 1)
    with pytest.raises(ValueError, match=r"\(B, 1, 1\), not \(3, 1, 2\)"):
        cross_layer_loss([maps], maps, torch.ones(3, 1, 2))
    with pytest.raises(ValueError, match="same B and C"):
        cross_layer_loss([[normal(0, 3, 4, 2, 2)]], maps, attention)
    with pytest.raises(ValueError, match="'mean'"):
        cross_layer_loss([maps], maps, attention, form="mean")
    with pytest.raises(ValueError, match="'sum'"):
        cross_layer_loss([maps], maps, attention, reduction="sum")
