import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_feature.functional import batch_norm_margin, hcl_loss, ofd_loss, regression_loss, vid_loss


def normal(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def positive(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).uniform(0.5, 2.0, shape))


MARGIN = -positive(3, 3)
LOSSES = {
    "hcl": hcl_loss,
    "ofd": lambda student, teacher, **settings: ofd_loss(student, teacher, MARGIN, **settings),
    "vid": lambda student, teacher, **settings: vid_loss(student, teacher, positive(2, 3), **settings),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
class TestEachLossOfMaps:
    def test_gradients_are_right_on_both_sides(self, loss):
        student, teacher = normal(0, 1, 3, 4, 4).requires_grad_(), normal(1, 1, 3, 2, 2).requires_grad_()
        assert gradcheck(loss, (student, teacher))

    def test_samples_do_not_see_each_other(self, loss):
        student, teacher = normal(0, 6, 3, 6, 6), normal(1, 6, 3, 6, 6)
        order = torch.from_numpy(np.random.RandomState(0).permutation(6))
        samples = loss(student, teacher, reduction="none")
        assert samples.shape == (6,)
        torch.testing.assert_close(samples[order], loss(student[order], teacher[order], reduction="none"))
        torch.testing.assert_close(samples.mean(), loss(student, teacher))

    def test_half_precision_is_computed_in_float32(self, loss):
        student, teacher = normal(0, 4, 3, 4, 4).bfloat16(), normal(1, 4, 3, 4, 4).bfloat16()
        half = loss(student, teacher)
        assert half.dtype in (torch.float32, torch.float64)  # the constants above are float64
        assert half.item() == pytest.approx(loss(student.double(), teacher.double()).item(), rel=1e-5)

    def test_other_channels_and_reductions_are_refused(self, loss):
        with pytest.raises(ValueError, match="must be"):
            loss(normal(0, 2, 3, 4, 4), normal(1, 2, 5, 4, 4))
        with pytest.raises(ValueError, match="'sum'"):
            loss(normal(0, 2, 3, 4, 4), normal(1, 2, 3, 4, 4), reduction="sum")


@pytest.mark.parametrize("loss", [hcl_loss, ofd_loss, vid_loss])
def test_nothing_depends_on_values_on_the_host(loss):
    """The meta device has no values to read; a GPU would have to stop and wait for them."""
    feature, channels = torch.empty(8, 16, 4, 4, device="meta"), torch.empty(16, device="meta")
    constants = () if loss is hcl_loss else (channels,)
    assert loss(feature, feature, *constants, reduction="none").shape == (8,)
    assert batch_norm_margin(channels, channels).shape == (16,)


def blocks(feature, side):
    batch, channels, rows, columns = feature.shape
    return feature.reshape(batch, channels, side, rows // side, side, columns // side).mean(axis=(3, 5))


def test_hcl_is_its_definition():
    student, teacher = normal(0, 4, 3, 8, 8).numpy(), normal(1, 4, 3, 8, 8).numpy()
    terms = [np.mean((student - teacher) ** 2)]
    terms += [np.mean((blocks(student, side) - blocks(teacher, side)) ** 2) for side in (4, 2, 1)]
    expected = np.dot(terms, [1, 0.5, 0.25, 0.125]) / 1.875
    assert hcl_loss(torch.from_numpy(student), torch.from_numpy(teacher)).item() == pytest.approx(expected)


def test_hcl_leaves_out_levels_that_are_no_smaller_than_the_map():
    student, teacher = normal(0, 4, 3, 4, 4), normal(1, 4, 3, 4, 4)
    difference = (student - teacher).numpy()
    terms = [np.mean(difference**2)] + [np.mean(blocks(difference, side) ** 2) for side in (2, 1)]
    assert hcl_loss(student, teacher).item() == pytest.approx(np.dot(terms, [1, 0.5, 0.25]) / 1.75)
    points = normal(0, 4, 3, 1, 1), normal(1, 4, 3, 1, 1)
    assert hcl_loss(*points).item() == pytest.approx((points[0] - points[1]).square().mean().item())
    assert hcl_loss(student, student).item() == 0.0


def test_vid_is_the_likelihood_of_a_gaussian():
    mean, teacher, variance = normal(0, 4, 3, 5, 5), normal(1, 4, 3, 5, 5), positive(2, 3)
    gaussian = torch.distributions.Normal(mean, variance.sqrt()[:, None, None])
    expected = -gaussian.log_prob(teacher).mean() - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(vid_loss(mean, teacher, variance), expected)


def test_vid_is_least_at_the_true_variance():
    mean, teacher = normal(0, 64, 2, 4, 4), normal(1, 64, 2, 4, 4)
    true = (teacher - mean).square().mean(dim=(0, 2, 3)).requires_grad_()
    (gradient,) = torch.autograd.grad(vid_loss(mean, teacher, true), true)
    torch.testing.assert_close(gradient, torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)
    assert gradcheck(
        lambda variance: vid_loss(mean[:1], teacher[:1], variance), true.detach().requires_grad_()
    )


def test_a_variance_for_each_channel_is_needed():
    with pytest.raises(ValueError, match=r"\(3,\)"):
        vid_loss(normal(0, 2, 3, 4, 4), normal(1, 2, 3, 4, 4), positive(2, 5))
    with pytest.raises(ValueError, match=r"\(3,\)"):
        ofd_loss(normal(0, 2, 3, 4, 4), normal(1, 2, 3, 4, 4), positive(2, 1))


@pytest.mark.parametrize(("weight", "bias"), [(1.0, 0.0), (-1.0, 0.0), (0.5, 0.7), (2.0, -3.0), (1.0, 3.0)])
def test_the_margin_is_the_mean_of_the_negative_half(weight, bias):
    at = np.linspace(bias - 12 * abs(weight), 0, 400_001)
    density = np.exp(-0.5 * ((at - bias) / weight) ** 2)
    expected = np.trapezoid(at * density, at) / np.trapezoid(density, at)
    margin = batch_norm_margin(
        torch.tensor([weight], dtype=torch.float64), torch.tensor([bias], dtype=torch.float64)
    )
    assert margin.item() == pytest.approx(expected, rel=1e-5)


def test_margins_at_the_ends():
    weight = torch.tensor([1.0, 2.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    bias = torch.tensor([4.0, 60.0, 1.0, -1.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([-3.0, -6.0, 0.0, -1.0, -math.sqrt(2 / math.pi)], dtype=torch.float64)
    torch.testing.assert_close(batch_norm_margin(weight, bias), expected)
    torch.testing.assert_close(batch_norm_margin(weight.float(), bias.float()), expected.float())
    with pytest.raises(ValueError, match="must be"):
        batch_norm_margin(weight, bias[:2])


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        (2.0, 3.0, 1.0),  # a positive target is met from both sides
        (-1.0, 3.0, 16.0),
        (4.0, 3.0, 1.0),
        (-2.0, -0.5, 0.0),  # below a negative target nothing is asked
        (1.0, -0.5, 2.25),  # above it the student comes down
        (-0.2, -0.5, 0.09),
        (0.0, -9.0, 1.0),  # the target is the margin
        (-5.0, -9.0, 0.0),
    ],
)
def test_ofd_by_hand(student, teacher, expected):
    margin = torch.tensor([-1.0], dtype=torch.float64)
    maps = (torch.full((2, 1, 2, 3), one, dtype=torch.float64) for one in (student, teacher))
    assert ofd_loss(*maps, margin).item() == pytest.approx(6 * expected)  # a sum over the map


def test_regression_forms():
    student, teacher = normal(0, 5, 4).requires_grad_(), normal(1, 5, 4)
    mse = (student - teacher).square().sum() / 20
    torch.testing.assert_close(regression_loss(student, teacher), mse)
    soft = -(teacher.softmax(1) * student.log_softmax(1)).sum(1)
    torch.testing.assert_close(
        regression_loss(student, teacher, form="cross-entropy", reduction="none"), soft
    )
    for form in ("mse", "cross-entropy"):
        assert gradcheck(lambda one, form=form: regression_loss(one, teacher, form=form), student)
        same = teacher.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(regression_loss(same, teacher, form=form), same)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)
        assert regression_loss(student.half(), teacher.half(), form=form).dtype == torch.float32


def test_regression_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(5, 4\) and \(5, 3\)"):
        regression_loss(normal(0, 5, 4), normal(0, 5, 3))
    with pytest.raises(ValueError, match="'kl'"):
        regression_loss(normal(0, 5, 4), normal(0, 5, 4), form="kl")
    with pytest.raises(ValueError, match="'sum'"):
        regression_loss(normal(0, 5, 4), normal(0, 5, 4), reduction="sum")
