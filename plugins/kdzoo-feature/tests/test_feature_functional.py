import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_feature.functional import hint_loss


def normal(seed, *shape):
    """The catalogue's fixed tensors: numpy's RandomState stream is frozen by NumPy policy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


@pytest.fixture
def student():
    return normal(10, 8, 16, 4, 4).requires_grad_()


@pytest.fixture
def teacher():
    return normal(11, 8, 16, 4, 4)


def test_hint_has_the_reference_value(student, teacher):
    loss = hint_loss(student, teacher)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == pytest.approx(1.91082977565, rel=1e-6)
    assert gradient.norm().item() == pytest.approx(0.0610908291, rel=1e-6)


def test_hint_is_its_definition(student, teacher):
    expected = [np.mean((s - t) ** 2) for s, t in zip(student.detach().numpy(), teacher.numpy(), strict=True)]
    samples = hint_loss(student, teacher, reduction="none")
    np.testing.assert_allclose(samples.detach().numpy(), expected, rtol=1e-12)


def blocks(feature, height, width):
    """Means of equal blocks, in numpy."""
    batch, channels, rows, columns = feature.shape
    cut = feature.reshape(batch, channels, height, rows // height, width, columns // width)
    return cut.mean(axis=(3, 5))


@pytest.mark.parametrize(
    ("ours", "theirs", "common"),
    [
        ((8, 8), (4, 4), (4, 4)),
        ((2, 2), (8, 8), (2, 2)),
        ((4, 6), (8, 3), (4, 3)),
        ((14, 14), (7, 7), (7, 7)),  # a transformer's grid of patches beside a stage of a convnet
        ((1, 1), (4, 4), (1, 1)),
    ],
)
def test_the_larger_map_is_pooled_to_the_smaller(ours, theirs, common):
    student, teacher = normal(0, 2, 3, *ours), normal(1, 2, 3, *theirs)
    expected = np.mean((blocks(student.numpy(), *common) - blocks(teacher.numpy(), *common)) ** 2)
    assert hint_loss(student, teacher).item() == pytest.approx(expected, rel=1e-10)


def test_sizes_that_do_not_divide_work_too():
    student = normal(0, 2, 3, 7, 5).requires_grad_()
    loss = hint_loss(student, normal(1, 2, 3, 4, 4))
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.isfinite()
    assert (gradient != 0).all()
    assert hint_loss(torch.full((2, 3, 7, 5), 2.0), torch.full((2, 3, 4, 4), 2.0)).item() == pytest.approx(0)


def test_gradients_are_right_on_both_sides():
    assert gradcheck(
        hint_loss, (normal(0, 2, 3, 4, 4).requires_grad_(), normal(1, 2, 3, 3, 2).requires_grad_())
    )


def test_nothing_to_learn_from_an_equal(student):
    loss = hint_loss(student, student.detach())
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == 0.0
    assert gradient.norm().item() == 0.0


def test_samples_do_not_see_each_other(student, teacher):
    order = torch.from_numpy(np.random.RandomState(0).permutation(8))
    samples = hint_loss(student, teacher, reduction="none")
    torch.testing.assert_close(samples[order], hint_loss(student[order], teacher[order], reduction="none"))
    torch.testing.assert_close(samples.mean(), hint_loss(student, teacher))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype, student, teacher):
    half = hint_loss(student.to(dtype), teacher.to(dtype))
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(hint_loss(student, teacher).item(), rel=0.01)
    large = torch.full((2, 3, 4, 4), 3e4, dtype=dtype)
    assert hint_loss(large, -large).isfinite()  # its square is beyond float16


def test_channels_that_differ_are_refused(student, teacher):
    with pytest.raises(ValueError, match=r"not \(8, 16, 4, 4\) and \(8, 3, 4, 4\)"):
        hint_loss(student, teacher[:, :3])


def test_an_unknown_reduction_is_refused(student, teacher):
    with pytest.raises(ValueError, match="'sum'"):
        hint_loss(student, teacher, reduction="sum")


def test_nothing_depends_on_values_on_the_host():
    """The meta device has no values to read; a GPU would have to stop and wait for them."""
    feature = torch.empty(8, 16, 4, 4, device="meta")
    assert hint_loss(feature, feature, reduction="none").shape == (8,)
