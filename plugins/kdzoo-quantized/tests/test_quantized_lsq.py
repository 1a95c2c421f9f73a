"""The rounding against values by hand and against its definition in float64."""

import math

import pytest
import torch

from kdzoo_quantized.functional import fake_quantize, initial_step, levels, to_integers


def by_autograd(values, step, low, high, count):
    """The paper's pseudocode: what is rounded has a straight-through gradient, the step a scaled one."""
    scale = 1 / math.sqrt(count * high)
    step = step * scale + (step - step * scale).detach()
    clipped = (values / step).clamp(low, high)
    return (clipped + (clipped.round() - clipped).detach()) * step


@pytest.mark.parametrize(
    ("bits", "signed", "expected"),
    [(1, True, (-1, 1)), (1, False, (0, 1)), (2, True, (-2, 1)), (2, False, (0, 3)), (8, True, (-128, 127))],
)
def test_levels(bits, signed, expected):
    assert levels(bits, signed=signed) == expected


@pytest.mark.parametrize("bits", [0, 17])
def test_impossible_bits_are_refused(bits):
    with pytest.raises(ValueError, match="1 to 16"):
        levels(bits, signed=True)


def test_values_by_hand():
    values = torch.tensor([-9.0, -0.9, -0.2, 0.0, 0.2, 0.3, 0.8, 9.0])
    rounded = fake_quantize(values, torch.tensor(0.5), -2, 1, 8)
    assert rounded.tolist() == [-1.0, -1.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5]
    assert to_integers(values, torch.tensor(0.5), 0, 3).tolist() == [0, 0, 0, 0, 0, 1, 2, 3]
    assert fake_quantize(values, torch.tensor(0.5), -1, 1, 8, binary=True).unique().tolist() == [-0.5, 0.5]


def test_the_step_is_pulled_by_hand():
    """Inside by q - v / s, outside by q, times 1 / sqrt(N high): section 2.1 and 2.2."""
    step = torch.tensor(0.5, requires_grad=True)
    values = torch.tensor([0.4, 5.0, -5.0], requires_grad=True)
    fake_quantize(values, step, -2, 1, 3).sum().backward()
    assert step.grad.item() == pytest.approx(((1 - 0.8) + 1 - 2) / math.sqrt(3))
    assert values.grad.tolist() == [1, 0, 0]


@pytest.mark.parametrize(("low", "high"), [(-2, 1), (0, 3), (-8, 7), (0, 255)])
@pytest.mark.parametrize("per_channel", [False, True])
def test_equal_to_the_definition(low, high, per_channel):
    torch.manual_seed(0)
    values = torch.randn(4, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    step = torch.rand((4, 1, 1, 1) if per_channel else (), dtype=torch.float64).add_(0.05).requires_grad_()
    weights = torch.randn_like(values)
    own = torch.autograd.grad((fake_quantize(values, step, low, high, 75) * weights).sum(), (values, step))
    theirs = torch.autograd.grad((by_autograd(values, step, low, high, 75) * weights).sum(), (values, step))
    for one, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(
        fake_quantize(values, step, low, high, 75), by_autograd(values, step, low, high, 75)
    )


def test_gradcheck_where_nothing_is_rounded():
    """On whole multiples inside the range the slope to the values is exact wherever it is averaged over a step."""
    step = torch.tensor(0.25, dtype=torch.float64)
    values = torch.linspace(-0.4, 0.2, 13, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(fake_quantize(values, step, -2, 1, 1).sum(), values)
    moved = fake_quantize(values.detach() + step, step, -8, 7, 1) - fake_quantize(values, step, -8, 7, 1)
    torch.testing.assert_close(moved / step, slope)
    assert torch.autograd.gradcheck(
        lambda one: fake_quantize(values.detach().clamp(5, 6), one, -2, 1, 1),  # clipped: s x 1, slope 1
        (step.clone().requires_grad_(),),
    )


def test_rounding_again_changes_nothing_and_has_few_values():
    values = torch.randn(1000)
    once = fake_quantize(values, torch.tensor(0.3), -2, 1, 1000)
    assert torch.equal(fake_quantize(once, torch.tensor(0.3), -2, 1, 1000), once)
    assert len(once.unique()) == 4


def test_with_and_without_graph_are_the_same_bits():
    values, step = torch.randn(100), torch.tensor(0.37, requires_grad=True)
    with torch.no_grad():
        plain = fake_quantize(values, step, -8, 7, 100)
    assert torch.equal(plain, fake_quantize(values, step, -8, 7, 100))


def test_a_step_that_turned_negative_or_zero_still_rounds():
    values = torch.tensor([0.6, -0.6])
    assert fake_quantize(values, torch.tensor(-0.5), -2, 1, 1).tolist() == [0.5, -0.5]
    assert fake_quantize(values, torch.tensor(0.0), -2, 1, 1).isfinite().all()


def test_half_precision_is_computed_in_float32():
    values = torch.randn(64, dtype=torch.bfloat16)
    exact = fake_quantize(values.float(), torch.tensor(0.1), -128, 127, 64).bfloat16()
    rounded = fake_quantize(values, torch.tensor(0.1), -128, 127, 64)
    assert rounded.dtype == torch.bfloat16
    assert torch.equal(rounded, exact)


def test_the_first_step():
    assert initial_step(torch.tensor(0.3), 9.0).item() == pytest.approx(0.2)
    assert initial_step(torch.tensor([0.3, 0.6]), 1.0, binary=True).tolist() == pytest.approx([0.3, 0.6])
    assert initial_step(torch.tensor(0.0), 1.0).item() > 0, "a layer of zeros has a step too"


def test_the_first_binary_step_is_the_best_one():
    weights = torch.randn(500, dtype=torch.float64)
    best = initial_step(weights.abs().mean(), 1, binary=True)
    errors = {
        factor: (fake_quantize(weights, best * factor, -1, 1, 500, binary=True) - weights).square().mean()
        for factor in (0.9, 1.0, 1.1)
    }
    assert min(errors, key=errors.get) == 1.0
