import copy

import pytest
import torch

from kdzoo.api import Backbone
from kdzoo_quantized.functional.rounding import (
    annealed,
    best_step,
    indecision,
    reconstruction,
    round_softly,
    share_up,
    start_of,
)
from kdzoo_quantized.insert import insert
from kdzoo_quantized.network import sizes
from kdzoo_quantized.rounding import RoundingQuantizer, learn_rounding
from kdzoo_quantized.units import UnitOutput, inputs, roundings, units_of


def backbone(name="test_resnet", **settings):
    import timm

    torch.manual_seed(0)
    return Backbone(
        timm.create_model(name, num_classes=10, in_chans=1, **settings), input_size=(28, 28)
    ).eval()


def rounding(name="test_resnet", bits=3):
    made = backbone(name)
    insert(made, bits, 4, first_last_bits=8, per_channel=True)
    learn_rounding(made, per_channel=True)
    return made


def test_the_stretched_sigmoid_by_hand():
    # σ(0) = 1/2; 1.2 σ - 0.1 reaches 0 at σ = 1/12 and 1 at σ = 11/12
    twelfth = torch.logit(torch.tensor(1 / 12, dtype=torch.float64))
    up = share_up(torch.stack([torch.zeros_like(twelfth), twelfth, -twelfth, 2 * twelfth, -2 * twelfth]))
    torch.testing.assert_close(up, torch.tensor([0.5, 0, 1, 0, 1], dtype=torch.float64))


def test_it_starts_from_the_weights_as_they_are():
    weight = torch.randn(5, 7, dtype=torch.float64)
    step = torch.rand(5, 1, dtype=torch.float64) + 0.1
    low, high = torch.tensor(-100.0), torch.tensor(100.0)
    up = share_up(start_of(weight, step))
    torch.testing.assert_close(round_softly(weight, step, low, high, up), weight)
    # what is nearer to the multiple above is rounded up: rounding to nearest
    nearest = round_softly(weight, step, low, high, (start_of(weight, step) >= 0).double())
    torch.testing.assert_close(nearest, (weight / step).round() * step)


def test_rounding_by_hand():
    weight, step = torch.tensor([0.7, 0.7, -0.7, 9.0, -9.0]), torch.tensor(0.5)
    up = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0])
    # 1.4 steps: 1 below, and 2 above is cut to 1; -1.4 up is -1; the last two are cut to 1 and -2 steps
    expected = torch.tensor([0.5, 0.5, -0.5, 0.5, -1.0])
    assert torch.equal(round_softly(weight, step, torch.tensor(-2.0), torch.tensor(1.0), up), expected)


def test_only_the_undecided_are_counted():
    assert indecision(torch.tensor([0.0, 1.0, 1.0, 0.0]), 2.0) == 0
    assert indecision(torch.tensor([0.5, 0.25]), 2.0) == pytest.approx(1 + 0.75)
    assert indecision(torch.tensor([0.25]), 20.0) > indecision(torch.tensor([0.25]), 2.0)
    up = torch.rand(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda one: indecision(one, 3.0), up)
    learned = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weight, low, high = torch.randn(4, 3, dtype=torch.float64), torch.tensor(-8.0), torch.tensor(7.0)
    assert torch.autograd.gradcheck(
        lambda one: round_softly(weight, torch.tensor(0.3), low, high, share_up(one)), learned
    )


def test_the_term_comes_after_the_warm_up_and_sharpens():
    assert annealed(0.1, warm_up=0.2) is None
    assert annealed(0.2, warm_up=0.2) == 20
    assert annealed(0.6, warm_up=0.2) == pytest.approx(11)
    assert annealed(1.0, warm_up=0.2) == pytest.approx(2)


def test_the_best_step_is_better_than_any_other():
    torch.manual_seed(0)
    weight = torch.randn(3, 50) * torch.tensor([[1.0], [10.0], [0.1]])

    def error(step):
        return ((weight / step[:, None]).round().clamp(-4, 3) * step[:, None] - weight).square().sum(1)

    step = best_step(weight, -4, 3, per_channel=True)
    for factor in (0.7, 0.9, 1.1, 1.4):
        assert (error(step) <= error(factor * step) + 1e-6).all()
    exact = torch.tensor([[-2.0, -1, 0, 1]]) * 0.37
    assert best_step(exact, -2, 1, per_channel=False).item() == pytest.approx(0.37, rel=0.02)
    assert torch.isfinite(best_step(torch.zeros(2, 3), -2, 1, per_channel=True)).all()


def test_reconstruction_by_hand():
    student, teacher = torch.zeros(2, 3, 1, 2), torch.ones(2, 3, 1, 2)
    teacher[0, 0, 0, 0] = 3.0
    # three of the four positions: 1 + 1 + 1; one: 9 + 1 + 1
    assert reconstruction(student, teacher) == (3 * 3 + 11) / 4
    assert reconstruction(teacher, teacher) == 0
    assert reconstruction(student.half(), teacher.half()).dtype == torch.float32


def test_it_is_soft_only_while_it_learns_and_a_graph_is_built():
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 3, 3)
    quantizer = RoundingQuantizer(weight, 2, per_channel=True)
    multiples = (weight / quantizer._broadcast(weight)).round().clamp(-2, 1) * quantizer._broadcast(weight)
    torch.testing.assert_close(quantizer(weight), multiples)
    assert torch.equal(quantizer.integers(weight).unique(), torch.tensor([-2, -1, 0, 1], dtype=torch.int16))
    quantizer.learning = True
    soft = quantizer(weight)
    inside = (weight / quantizer._broadcast(weight) >= -2) & (weight / quantizer._broadcast(weight) < 1)
    torch.testing.assert_close(soft[inside], weight[inside])
    soft.square().sum().backward()
    assert quantizer.up.grad.abs().sum() > 0
    assert quantizer.step.grad is None  # it stays
    with torch.no_grad():
        torch.testing.assert_close(quantizer(weight), multiples)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
def test_units_are_blocks_in_the_order_of_the_network_and_hold_every_quantizer(name):
    made = backbone(name, **({"img_size": 28, "patch_size": 7} if name == "test_vit" else {}))
    plain = copy.deepcopy(made)
    insert(made, 3, 4, first_last_bits=8, per_channel=True)
    learn_rounding(made, per_channel=True)
    units = units_of(made)
    parts = [part for unit in units for part in roundings(made.model.get_submodule(unit))]
    assert len(parts) == len(set(map(id, parts))) == len(roundings(made))
    assert sum(len(inputs(made.model.get_submodule(unit))) for unit in units) == len(inputs(made))
    image = torch.rand(2, 1, 28, 28)
    probes = tuple(UnitOutput(unit) for unit in units)
    with torch.no_grad():
        answer = made(image, (), False, probes)
        assert torch.equal(answer.extras[probes[-1]][0], answer.logits)
        assert not torch.equal(answer.logits, plain(image).logits)
    assert {"test_resnet": "layer1.0", "test_efficientnet": "blocks.1.0", "test_vit": "blocks.0"}[
        name
    ] in units


def test_rounded_weights_count_their_bits():
    learned, plain = rounding(bits=3), backbone()
    insert(plain, 3, 4, first_last_bits=8, per_channel=True)
    assert sizes(learned) == sizes(plain)


def test_a_block_learns_to_return_what_the_float_block_returns():
    teacher, student = backbone(), rounding(bits=2)
    unit = "layer2.0"
    module, probe = student.model.get_submodule(unit), UnitOutput(unit)
    for part in student.modules():
        if hasattr(part, "calibrating"):
            part.calibrating = True
    image = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        student(image)
        target = teacher(image, (), False, (probe,)).extras[probe][0]
    for part in student.modules():
        if hasattr(part, "calibrating"):
            part.calibrating = False

    def error():
        return reconstruction(student(image, (), False, (probe,)).extras[probe][0], target)

    with torch.no_grad():
        before = error()
    parts = roundings(module)
    for part in parts:
        part.learning = True
    optimizer = torch.optim.Adam([part.up for part in parts], lr=0.03)
    for step in range(60):
        beta = annealed(step / 60, warm_up=0.2)
        undecided = 0 if beta is None else 0.01 * sum(indecision(share_up(part.up), beta) for part in parts)
        optimizer.zero_grad()
        (error() + undecided).backward()
        optimizer.step()
    with torch.no_grad():
        assert error() < 0.8 * before
