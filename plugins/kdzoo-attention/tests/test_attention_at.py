import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_attention.functional import attention_loss, attention_map

FORMS = pytest.mark.parametrize("form", ["paper", "code"])
STAGES = [(8, 8), (16, 4), (16, 2)]


def normal(seed, *shape):
    """The catalogue's fixed tensors: numpy's RandomState stream is frozen by NumPy policy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


@pytest.fixture
def students():
    return [normal(30 + i, 8, c, h, h).requires_grad_() for i, (c, h) in enumerate(STAGES)]


@pytest.fixture
def teachers():
    return [normal(40 + i, 8, c, h, h) for i, (c, h) in enumerate(STAGES)]


def by_hand(student, teacher, power, form):
    losses = []
    for s, t in zip(student, teacher, strict=True):
        q = [(np.abs(x) ** power).sum(axis=0).ravel() for x in (s, t)]
        squares = ((q[0] / np.sqrt((q[0] ** 2).sum()) - q[1] / np.sqrt((q[1] ** 2).sum())) ** 2).sum()
        losses.append((np.sqrt(squares) / 2 if form == "paper" else squares) / q[0].size)
    return losses


def test_the_code_form_has_the_reference_value(students, teachers):
    loss = sum(attention_loss(s, t, form="code") for s, t in zip(students, teachers, strict=True))
    assert loss.item() == pytest.approx(0.0622648984117, rel=1e-6)
    norms = [gradient.norm().item() for gradient in torch.autograd.grad(loss, students)]
    assert norms == pytest.approx([0.000496975501, 0.00206084981, 0.0154134738], rel=1e-6)


def test_the_paper_form_has_its_value(students, teachers):
    """Without the half and the number of elements, which the paper has in β/2, the norms sum to 1.4117."""
    stages = [attention_loss(s, t, form="paper") for s, t in zip(students, teachers, strict=True)]
    bare = sum(2 * side**2 * loss for loss, (_, side) in zip(stages, STAGES, strict=True))
    assert bare.item() == pytest.approx(1.4117, abs=5e-5)
    assert sum(stages).item() == pytest.approx(0.0674898441184, rel=1e-6)


@FORMS
@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
def test_it_is_its_definition(form, power, students, teachers):
    for student, teacher in zip(students, teachers, strict=True):
        expected = by_hand(student.detach().numpy(), teacher.numpy(), power, form)
        loss = attention_loss(student, teacher, power=power, form=form, reduction="none")
        np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-9)


@FORMS
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_gradients_are_right_on_both_sides(form, power):
    student, teacher = normal(0, 2, 3, 4, 4).requires_grad_(), normal(1, 2, 5, 2, 3).requires_grad_()
    assert gradcheck(lambda s, t: attention_loss(s, t, power=power, form=form), (student, teacher))


@FORMS
def test_nothing_to_learn_from_an_equal(form, students):
    loss = attention_loss(students[0], students[0].detach(), form=form)
    (gradient,) = torch.autograd.grad(loss, students[0])
    assert loss.item() == 0.0
    assert gradient.norm().item() == 0.0


@FORMS
def test_only_where_a_map_is_active_matters_not_how_much_or_in_which_channel(form, students, teachers):
    student, teacher = students[1], teachers[1]
    same = -3.0 * student[:, torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(
        attention_loss(same, teacher, form=form), attention_loss(student, teacher, form=form)
    )


@FORMS
def test_samples_do_not_see_each_other(form, students, teachers):
    student, teacher = students[0], teachers[0]
    order = torch.from_numpy(np.random.RandomState(0).permutation(8))
    samples = attention_loss(student, teacher, form=form, reduction="none")
    assert samples.shape == (8,)
    torch.testing.assert_close(
        samples[order], attention_loss(student[order], teacher[order], form=form, reduction="none")
    )
    torch.testing.assert_close(samples.mean(), attention_loss(student, teacher, form=form))


@FORMS
@pytest.mark.parametrize(("ours", "theirs"), [((5, 8, 8), (3, 4, 4)), ((3, 2, 4), (9, 4, 2))])
def test_the_larger_map_is_pooled_to_the_smaller(form, ours, theirs):
    def pooled(feature):
        batch, channels, rows, columns = feature.shape
        height, width = min(ours[1], theirs[1]), min(ours[2], theirs[2])
        return feature.reshape(batch, channels, height, rows // height, width, columns // width).mean((3, 5))

    student, teacher = normal(0, 2, *ours), normal(1, 2, *theirs)
    torch.testing.assert_close(
        attention_loss(student, teacher, form=form),
        attention_loss(pooled(student), pooled(teacher), form=form),
    )


@FORMS
def test_a_transformers_grid_meets_a_convnets_stage(form):
    student = normal(0, 2, 48, 14, 14).float().requires_grad_()
    loss = attention_loss(student, normal(1, 2, 192, 10, 10).float(), form=form)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() > 0
    assert gradient.isfinite().all()


@FORMS
def test_a_map_without_any_activity_is_harmless(form, teachers):
    """A whole map behind a ReLU can be zero."""
    student = torch.zeros(8, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    loss = attention_loss(student, teachers[1], form=form)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.isfinite()
    assert gradient.norm().item() == 0.0


def test_the_map_has_unit_length():
    rows = attention_map(normal(0, 3, 5, 4, 2))
    assert rows.shape == (3, 8)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3, dtype=torch.float64))


@FORMS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(form, dtype, students, teachers):
    half = attention_loss(students[0].to(dtype), teachers[0].to(dtype), form=form)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(attention_loss(students[0], teachers[0], form=form).item(), rel=0.02)
    huge = torch.full((2, 3, 4, 4), 3e4, dtype=dtype)  # its square is beyond float16
    assert attention_loss(huge, students[1][:2].to(dtype), form=form).isfinite()


def test_bad_arguments_are_refused(students, teachers):
    with pytest.raises(ValueError, match=r"not \(8, 8, 8, 8\) and \(7, 8, 8, 8\)"):
        attention_loss(students[0], teachers[0][:7])
    with pytest.raises(ValueError, match="'sum'"):
        attention_loss(students[0], teachers[0], reduction="sum")
    with pytest.raises(ValueError, match="'mean'"):
        attention_loss(students[0], teachers[0], form="mean")


def test_nothing_depends_on_values_on_the_host():
    """The meta device has no values to read; a GPU would have to stop and wait for them."""
    feature = torch.empty(8, 16, 4, 4, device="meta")
    assert attention_loss(feature, feature, reduction="none").shape == (8,)
