import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo.api import Batch, KdzooError, Output
from kdzoo_attention.afd import AFD
from kdzoo_attention.functional import attention_loss, link_weights, linked_attention_loss

FORMS = pytest.mark.parametrize("form", ["paper", "code"])
BATCH = Batch(torch.arange(4), {"image": torch.zeros(4, 3, 2, 2)})
OURS, THEIRS = [(4, 8, 8), (6, 4, 4), (8, 2, 2)], [(5, 7, 7), (3, 3, 5)]


def normal(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def maps(shapes, seed=0, batch=4):
    return [normal(seed + number, batch, *shape) for number, shape in enumerate(shapes)]


def output(shapes, seed=0):
    features = tuple(one.float().requires_grad_() for one in maps(shapes, seed))
    return Output(torch.zeros(4, 3), features)


def built(student, teacher, **settings):
    torch.manual_seed(0)
    knowledge = AFD(dimension=16, **settings)
    knowledge.build(student, teacher, None)
    return knowledge


@FORMS
def test_one_pair_is_the_attention_loss(form):
    """With the link 1, it is attention transfer; the paper's form there has a half in front."""
    (student,), (teacher,) = maps([(4, 4, 4)]), maps([(6, 4, 4)], 1)
    loss = linked_attention_loss([student], [teacher], torch.ones(4, 1, 1), form=form, reduction="none")
    single = attention_loss(student, teacher, form=form, reduction="none")
    torch.testing.assert_close(loss, single * (2 if form == "paper" else 1))


@FORMS
def test_it_is_its_definition(form):
    students, teachers = maps([(4, 4, 4), (3, 2, 2)]), maps([(5, 2, 2), (2, 4, 2)], 7)
    links = torch.softmax(normal(9, 4, 2, 2), dim=2)
    expected = np.zeros(4)
    for b in range(4):
        for t, teacher in enumerate(teachers):
            target = (teacher[b].numpy() ** 2).mean(0)
            for s, student in enumerate(students):
                energy = (student[b].numpy() ** 2).mean(0)
                sized = np.empty(target.shape)
                for i, j in np.ndindex(target.shape):
                    rows, columns = (n // m for n, m in zip(energy.shape, target.shape, strict=True))
                    sized[i, j] = (
                        energy[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns].mean()
                        if rows and columns
                        else energy[
                            i * energy.shape[0] // target.shape[0], j * energy.shape[1] // target.shape[1]
                        ]
                    )
                difference = sized / np.linalg.norm(sized) - target / np.linalg.norm(target)
                distance = np.linalg.norm(difference) if form == "paper" else (difference**2).sum()
                expected[b] += links[b, t, s].item() * distance / target.size
    loss = linked_attention_loss(students, teachers, links, form=form, reduction="none")
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-9)


def test_links_are_a_softmax_over_the_students_stages():
    queries, keys, bilinear, positions = (
        normal(seed, *shape) for seed, shape in enumerate([(4, 2, 5), (4, 3, 5), (2, 5, 5), (2, 3)])
    )
    links = link_weights(queries, keys, bilinear, positions)
    scores = [
        [
            [
                (queries[b, t] @ bilinear[t] @ keys[b, s] + positions[t, s]).item() / np.sqrt(5)
                for s in range(3)
            ]
            for t in range(2)
        ]
        for b in range(4)
    ]
    torch.testing.assert_close(links, torch.softmax(torch.tensor(scores, dtype=torch.float64), dim=2))
    torch.testing.assert_close(links.sum(dim=2), torch.ones(4, 2, dtype=torch.float64))


@FORMS
def test_gradients_are_right_through_maps_and_links(form):
    students = [one.requires_grad_() for one in maps([(2, 3, 3), (3, 2, 2)], batch=2)]
    teachers = [one.requires_grad_() for one in maps([(2, 2, 3)], 5, batch=2)]
    scores = normal(8, 2, 1, 2).requires_grad_()

    def loss(*inputs):
        return linked_attention_loss(inputs[:2], inputs[2:3], torch.softmax(inputs[3], dim=2), form=form)

    assert gradcheck(loss, (*students, *teachers, scores))


@FORMS
def test_nothing_to_learn_from_an_equal(form):
    student = maps([(4, 4, 4)])[0].requires_grad_()
    loss = linked_attention_loss([student], [student.detach()], torch.ones(4, 1, 1), form=form)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == 0.0
    assert gradient.norm().item() == 0.0


@FORMS
def test_every_parameter_and_every_stage_learns(form):
    student, teacher = output(OURS), output(THEIRS, 10)
    knowledge = built(student, teacher, form=form, teacher_stages=(-2, -1))
    loss = knowledge(student, teacher.detach(), BATCH)
    assert loss.shape == (4,)
    loss.mean().backward()
    named = dict(knowledge.named_parameters())
    assert len(named) == 2 * 5 + 3
    assert all(parameter.grad.abs().sum() > 0 for parameter in named.values()), named
    assert all(feature.grad.abs().sum() > 0 for feature in student.features)
    assert knowledge.student_position.shape == (3, 16)
    assert knowledge.teacher_position.shape == (2, 16)


def test_a_link_to_the_stage_that_agrees_is_learned():
    """One of three stages is the teacher's own map: minimising the loss by the links alone finds it."""
    teacher = output([(6, 4, 4)], 30).detach()
    student = Output(
        teacher.logits, (*output([(4, 4, 4)]).features, *teacher.features, *output([(8, 4, 4)], 5).features)
    )
    student = student.detach()
    knowledge = built(student, teacher, teacher_stages=(-1,))
    optimizer = torch.optim.Adam(knowledge.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        knowledge(student, teacher, BATCH).mean().backward()
        optimizer.step()
    assert knowledge.links(student, teacher)[:, 0, 1].min().item() > 0.9


def test_samples_do_not_see_each_other():
    student, teacher = output(OURS).detach(), output(THEIRS, 10).detach()
    knowledge = built(student, teacher, teacher_stages=(-2, -1))
    order = torch.tensor([2, 0, 3, 1])
    mixed = [one.map(lambda tensor: tensor[order]) for one in (student, teacher)]
    torch.testing.assert_close(knowledge(*mixed, BATCH), knowledge(student, teacher, BATCH)[order])
    alone = [one.map(lambda tensor: tensor[:1]) for one in (student, teacher)]
    torch.testing.assert_close(knowledge(*alone, BATCH), knowledge(student, teacher, BATCH)[:1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    student, teacher = (
        output(shapes, seed).map(lambda one: one.to(dtype)) for shapes, seed in ((OURS, 0), (THEIRS, 9))
    )
    loss = built(student, teacher, teacher_stages=(-2, -1))(student, teacher.detach(), BATCH)
    assert loss.dtype == torch.float32
    full = [one.map(torch.Tensor.float) for one in (student, teacher)]
    torch.testing.assert_close(loss, built(*full, teacher_stages=(-2, -1))(*full, BATCH))


def test_a_teacher_without_places_is_refused():
    student, teacher = output(OURS), output([(5, 1, 1)])
    with pytest.raises(KdzooError, match="single pixel"):
        built(student, teacher, teacher_stages=(-1,))


def test_bad_arguments_are_refused():
    students, teachers = maps(OURS), maps(THEIRS)
    links = torch.ones(4, 2, 3)
    with pytest.raises(ValueError, match=r"\(B, 2, 3\), not \(4, 3, 2\)"):
        linked_attention_loss(students, teachers, links.transpose(1, 2))
    with pytest.raises(ValueError, match="B of the links"):
        linked_attention_loss(students, teachers, links[:3])
    with pytest.raises(ValueError, match="'mean'"):
        linked_attention_loss(students, teachers, links, form="mean")
    with pytest.raises(ValueError, match="'sum'"):
        linked_attention_loss(students, teachers, links, reduction="sum")
