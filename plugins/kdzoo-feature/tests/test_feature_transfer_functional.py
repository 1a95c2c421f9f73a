"""The losses of nst, ab, ft and mgd, as functions."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_feature.functional import boundary_loss, factor_loss, generation_loss, nst_loss, random_mask

LOSSES = [nst_loss, boundary_loss, factor_loss, generation_loss]


def normal(seed, *shape):
    """The catalogue's fixed tensors: numpy's RandomState stream is frozen by NumPy policy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


@pytest.fixture
def student():
    return normal(10, 8, 16, 4, 4).requires_grad_()


@pytest.fixture
def teacher():
    return normal(11, 8, 16, 4, 4)


# What each is, from its definition in numpy


def discrepancy(student, teacher, degree=2, offset=0.0):
    """Huang and Wang's sum over all pairs of channels, pair by pair."""
    student, teacher = (
        [channel.ravel() / np.linalg.norm(channel) for channel in one] for one in (student, teacher)
    )

    def mean(ones, others):
        return np.mean([(one @ other + offset) ** degree for one in ones for other in others])

    return mean(teacher, teacher) + mean(student, student) - 2 * mean(teacher, student)


@pytest.mark.parametrize(("degree", "offset"), [(1, 0.0), (2, 0.0), (3, 0.5)])
def test_nst_is_its_definition(degree, offset):
    student, teacher = normal(0, 3, 5, 4, 4), normal(1, 3, 7, 4, 4)  # any numbers of channels
    expected = [
        discrepancy(one, other, degree, offset)
        for one, other in zip(student.numpy(), teacher.numpy(), strict=True)
    ]
    samples = nst_loss(student, teacher, degree=degree, offset=offset, reduction="none")
    np.testing.assert_allclose(samples.numpy(), expected, rtol=1e-10)


def test_nst_of_degree_two_compares_what_goes_with_what_over_pixels(student, teacher):
    """The kernel trick, undone: the mean outer product of the patterns, whose squared distance is the loss."""

    def moments(feature):
        patterns = torch.nn.functional.normalize(feature.flatten(2), dim=2)
        return patterns.mT @ patterns / feature.shape[1]

    expected = (moments(student) - moments(teacher)).square().sum(dim=(1, 2))
    torch.testing.assert_close(nst_loss(student, teacher, reduction="none"), expected)


def test_nst_does_not_care_which_channel_is_which_nor_how_strong(student):
    order = torch.from_numpy(np.random.RandomState(0).permutation(16))
    strength = torch.linspace(0.1, 5, 16, dtype=torch.float64)[:, None, None]
    assert nst_loss(student, student[:, order] * strength).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("degree", [1, 2])
def test_a_dead_channel_has_no_exploding_gradient(degree, student, teacher):
    dead = student.detach().clone()
    dead[:, 3] = 0
    dead.requires_grad_()
    nst_loss(dead, teacher, degree=degree).backward()
    assert dead.grad.isfinite().all()
    assert dead.grad.norm() < 1


def test_boundary_by_hand():
    """Teacher on, on, off, off; student far enough, too low, too high, far enough."""
    teacher = torch.tensor([3.0, 0.1, 0.0, -2.0]).reshape(1, 4, 1, 1)
    student = torch.tensor([1.5, -0.5, 0.25, -1.0]).reshape(1, 4, 1, 1)
    assert boundary_loss(student, teacher).item() == pytest.approx(1.5**2 + 1.25**2)
    assert boundary_loss(student, teacher, margin=0.5).item() == pytest.approx(1.0**2 + 0.75**2)


def test_boundary_wants_the_sign_alone(student, teacher):
    """So maps before and after an activation teach the same."""
    expected = boundary_loss(student, teacher)
    for activation in (torch.nn.ReLU(), torch.nn.SiLU(), torch.nn.GELU(), torch.nn.LeakyReLU(0.1)):
        torch.testing.assert_close(boundary_loss(student, activation(teacher)), expected)


def test_boundary_is_zero_beyond_the_margin(student, teacher):
    right = 1.5 * torch.where(teacher > 0, 1.0, -1.0).double().requires_grad_()
    assert boundary_loss(right, teacher).item() == 0


@pytest.mark.parametrize("form", ["mean", "sum"])
@pytest.mark.parametrize("power", [1, 2])
def test_factor_is_its_definition(power, form, student, teacher):
    expected = []
    for one, other in zip(student.detach().numpy(), teacher.numpy(), strict=True):
        difference = np.abs(one / np.linalg.norm(one) - other / np.linalg.norm(other)) ** power
        expected.append(getattr(np, form)(difference))
    samples = factor_loss(student, teacher, power=power, form=form, reduction="none")
    np.testing.assert_allclose(samples.detach().numpy(), expected, rtol=1e-10)


def test_factor_has_the_reference_value(student, teacher):
    """The catalogue gives it to three digits, and 0.0814 for another function of the same name."""
    assert factor_loss(student, teacher).item() == pytest.approx(0.0702, abs=5e-5)


def test_factor_does_not_care_how_strong(student):
    assert factor_loss(student, 7 * student.detach()).item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("form", ["sum", "mean"])
def test_generation_is_its_definition(form, student, teacher):
    squares = (student.detach().numpy() - teacher.numpy()) ** 2
    expected = getattr(squares.reshape(8, -1), form)(axis=1)
    samples = generation_loss(student, teacher, form=form, reduction="none")
    np.testing.assert_allclose(samples.detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("over", "shape"), [("pixels", (64, 1, 8, 8)), ("channels", (64, 64, 1, 1))])
def test_a_mask_holds_back_its_share(over, shape):
    feature = torch.empty(64, 64, 8, 8)
    mask = random_mask(feature, 0.15, over, torch.Generator().manual_seed(0))
    assert mask.shape == shape
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert (mask == 0).float().mean().item() == pytest.approx(0.15, abs=0.02)  # of 4,096: 3.6 deviations
    again = random_mask(feature, 0.15, over, torch.Generator().manual_seed(0))
    assert torch.equal(mask, again)
    assert random_mask(feature, 0.0, over, None).all()


# What they have in common


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_right(loss):
    assert gradcheck(
        loss, (normal(0, 2, 3, 4, 4).requires_grad_(), normal(1, 2, 3, 3, 2))
    )  # of different size: the larger is pooled


@pytest.mark.parametrize("loss", [nst_loss, factor_loss, generation_loss])
def test_nothing_to_learn_from_an_equal(loss, student):
    value = loss(student, student.detach())
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == pytest.approx(0, abs=1e-14)
    assert gradient.norm().item() == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_samples_do_not_see_each_other(loss, student, teacher):
    order = torch.from_numpy(np.random.RandomState(0).permutation(8))
    samples = loss(student, teacher, reduction="none")
    torch.testing.assert_close(samples[order], loss(student[order], teacher[order], reduction="none"))
    torch.testing.assert_close(samples.mean(), loss(student, teacher))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_computed_in_float32(loss, dtype, student, teacher):
    half = loss(student.to(dtype), teacher.to(dtype))
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(loss(student, teacher).item(), rel=0.01)


@pytest.mark.parametrize("loss", LOSSES)
def test_maps_of_other_samples_and_unknown_reductions_are_refused(loss, student, teacher):
    with pytest.raises(ValueError, match=r"not \(8, 16, 4, 4\) and \(7, 16, 4, 4\)"):
        loss(student, teacher[:7])
    with pytest.raises(ValueError, match="'sum'"):
        loss(student, teacher, reduction="sum")


@pytest.mark.parametrize("loss", [boundary_loss, factor_loss, generation_loss])
def test_channels_that_differ_are_refused(loss, student, teacher):
    with pytest.raises(ValueError, match="same B and C"):
        loss(student, teacher[:, :3])


def test_unknown_forms_are_refused(student, teacher):
    with pytest.raises(ValueError, match="'median'"):
        generation_loss(student, teacher, form="median")
    with pytest.raises(ValueError, match="'median'"):
        factor_loss(student, teacher, form="median")


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_depends_on_values_on_the_host(loss):
    """The meta device has no values to read; a GPU would have to stop and wait for them."""
    feature = torch.empty(8, 16, 4, 4, device="meta")
    assert loss(feature, feature, reduction="none").shape == (8,)
