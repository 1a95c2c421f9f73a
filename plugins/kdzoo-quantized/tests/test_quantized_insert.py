"""Quantizers in timm models: what is rounded, what it weighs, that it learns and that it can be exported."""

import copy

import pytest
import timm
import torch
from torch import nn

from kdzoo.api import Backbone, KdzooError
from kdzoo.jobs.export import export_student
from kdzoo_quantized.insert import calibrating, insert, weight_quantizers
from kdzoo_quantized.network import QuantizedNetwork, describe, sizes
from kdzoo_quantized.quantizers import ActivationQuantizer, WeightQuantizer

NAMES = tuple("abcdefghij")


def backbone(name="test_resnet", channels=1, **kwargs):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=10, in_chans=channels, **kwargs)
    return Backbone(model, input_size=(32, 32), label_names=NAMES)


def calibrated(network, images):
    network.train()
    with torch.no_grad(), calibrating(network):
        network(images)
    return network.eval()


@pytest.mark.slow
def test_exported_and_loaded_it_gives_the_same_logits(tmp_path):
    one = backbone("test_efficientnet")
    layers = insert(one, 2, 3, per_channel=True)
    images = torch.rand(4, 1, 32, 32)
    network = calibrated(QuantizedNetwork(one), images)
    export_student(network, tmp_path / "student", classes=NAMES, card="# Card", image_shape=(1, 32, 32))
    program = torch.export.load(tmp_path / "student" / "model.pt2")
    rounds = sum(node.target == torch.ops.aten.round.default for node in program.graph.nodes)
    assert rounds == 2 * len(layers), "the program contains the quantizers"
    answer = program.module()
    with torch.no_grad():
        assert torch.equal(answer(images), network(images).logits)
        assert torch.equal(answer(images[:3]), network(images[:3]).logits), "any batch size"


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_efficientnet", "test_byobnet", "test_vit", "lcnet_035"]
)
def test_every_parameter_gets_a_gradient(name):
    one = backbone(name)
    layers = insert(one, 2, 3, first_last_bits=8)
    network = calibrated(QuantizedNetwork(one), images := torch.rand(4, 1, 32, 32))
    network.train()(images).logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert len(layers) >= 16


def test_first_and_last_stay_float_unless_asked_for():
    one = backbone()
    layers = insert(one, 4, 4)
    assert one.model.pretrained_cfg["first_conv"] not in layers
    assert "fc" not in layers
    other = backbone()
    assert set(insert(other, 4, 4, first_last_bits=8)) - set(layers) == {"conv1.0", "fc"}
    of = {name: quantizer.bits for name, (_, quantizer) in weight_quantizers(other.model).items()}
    assert of["fc"] == of["conv1.0"] == 8
    assert set(of.values()) == {4, 8}


def test_every_rounded_weight_has_few_values():
    one = backbone("test_efficientnet")  # with depthwise convolutions
    insert(one, 2, None)
    found = weight_quantizers(one)
    assert any(module.groups > 1 for module, _ in found.values() if isinstance(module, nn.Conv2d))
    for module, quantizer in found.values():
        assert len(module.weight.unique()) <= 4
        original = module.parametrizations.weight.original
        assert torch.equal(quantizer.integers(original) * quantizer.step.abs(), module.weight)
    assert not any(isinstance(module, ActivationQuantizer) for module in one.modules())


def test_steps_per_channel_count_the_weights_of_a_channel():
    """A gradient scale from the whole tensor's count, as known code has it, is too small by sqrt(channels)."""
    weight = torch.randn(6, 4, 3, 3)
    channels, whole = WeightQuantizer(weight, 3, per_channel=True), WeightQuantizer(weight, 3)
    assert (channels.step.shape, channels.count) == ((6,), 36)
    assert (whole.step.shape, whole.count) == ((), 216)
    single = WeightQuantizer(weight[2:3], 3)
    torch.testing.assert_close(channels(weight)[2:3], single(weight[2:3]))
    for one in (channels, single):
        one.zero_grad()
    channels(weight)[2].square().sum().backward()
    single(weight[2:3]).square().sum().backward()
    torch.testing.assert_close(channels.step.grad[2], single.step.grad)


def test_ranges_come_from_what_is_seen():
    positive, both = (ActivationQuantizer(2) for _ in range(2))
    for quantizer, values in ((positive, torch.rand(8, 5)), (both, torch.randn(8, 5))):
        with calibrating(nn.Sequential(quantizer)):
            rounded = quantizer(values)
        assert len(rounded.unique()) <= 4
    assert (positive.low.item(), positive.high.item()) == (0, 3)
    assert (both.low.item(), both.high.item()) == (-2, 1)
    again = ActivationQuantizer(2)
    again.load_state_dict(both.state_dict())
    values = torch.randn(8, 5)
    assert torch.equal(again(values), both(values)), "the range is restored with the step"


def test_the_gradient_of_a_step_counts_the_features_of_one_sample():
    quantizer = ActivationQuantizer(2)
    with calibrating(nn.Sequential(quantizer)):
        quantizer(values := torch.rand(8, 5, 4))
    quantizer(values).mean(dim=0).sum().backward()
    once = quantizer.step.grad.clone()
    quantizer.zero_grad()
    quantizer(values.repeat(3, 1, 1)).mean(dim=0).sum().backward()
    torch.testing.assert_close(quantizer.step.grad, once)


def test_a_copy_calls_its_own_quantizers():
    one = backbone()
    insert(one, 2, 2)
    images = torch.rand(4, 1, 32, 32)
    network = calibrated(QuantizedNetwork(one), images)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        before = network(images).logits
        for module in twin.modules():
            if isinstance(module, ActivationQuantizer | WeightQuantizer):
                module.step.mul_(3)
        assert torch.equal(network(images).logits, before)
        assert not torch.equal(twin(images).logits, before)


def test_eight_bits_are_nearly_float_and_one_is_not():
    images = torch.rand(8, 1, 32, 32)
    exact = backbone().eval()(images).logits
    apart = {}
    for bits in (8, 4, 1):
        one = backbone()
        insert(one, bits, bits)
        with torch.no_grad(), calibrating(one.eval()):
            one(images)
        apart[bits] = (one(images).logits - exact).norm().item() / exact.norm().item()
    assert apart[8] < 0.05 < apart[4] < apart[1]


def test_sizes_by_hand():
    one = backbone()
    numbers = sum(tensor.numel() for tensor in one.state_dict().values() if tensor.is_floating_point())
    assert sizes(one) == {"student_bytes": 4.0 * numbers, "float_bytes": 4.0 * numbers}
    layers = insert(one, 2, 4)
    rounded = sum(module.weight.numel() for module, _ in weight_quantizers(one).values())
    steps = 2 * len(layers)
    found = sizes(one)
    assert found["float_bytes"] == 4.0 * numbers, "steps and ranges are no part of the float network"
    assert found["student_bytes"] == 4 * (numbers - rounded) + rounded * 2 / 8 + 4 * steps
    assert "2 bits" in describe(one)
    assert "4 bits" in describe(one)


@pytest.mark.parametrize(
    ("name", "bits", "message"),
    [
        ("nf_regnet_b0", (4, 4), "changes its weights itself"),
        ("test_resnet", (None, None), "no layer is left to round"),
    ],
)
def test_what_cannot_be_rounded_is_refused(name, bits, message):
    one = backbone(name)
    before = {key: tensor.clone() for key, tensor in one.state_dict().items()}
    with pytest.raises(KdzooError, match=message):
        insert(one, *bits)
    assert before.keys() == one.state_dict().keys(), "and left as it was"


def test_a_layer_that_is_not_called_is_refused():
    one = backbone("test_vit")
    insert(one, 4, 4)
    one.model.add_module("stray", ActivationQuantizer(4))
    with pytest.raises(KdzooError, match=r"layer model\.stray is not called"), calibrating(one):
        one(torch.rand(2, 1, 32, 32))
