import io
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

from kdzoo.api import Backbone, Batch, KdzooError
from kdzoo_quantized.functional.folding import fold_norm
from kdzoo_quantized.graph import fold_norms, traced
from kdzoo_quantized.int8 import _CARD, Int8, accuracy
from kdzoo_quantized.latency import milliseconds
from kdzoo_quantized.pt2e import FakeQuantized
from kdzoo_quantized.units import UnitOutput

SHAPE = (1, 28, 28)


@pytest.fixture(scope="module")
def network():
    """A small network whose batch norms have seen something, so that folding them changes weights."""
    import timm

    torch.manual_seed(0)
    made = Backbone(timm.create_model("test_efficientnet", num_classes=10, in_chans=1), input_size=(28, 28))
    with torch.no_grad():
        for _ in range(3):
            made.train()(torch.rand(8, *SHAPE))
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    return made.eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def rounded(network, images):
    """The network as a graph that rounds, its ranges seen."""
    made = FakeQuantized(network, SHAPE, learns=True).train()
    for _ in range(3):
        made(images)
    return made.eval()


def test_a_folded_norm_by_hand():
    # (2x + 1 - 3) * 4 / sqrt(15 + 1) + 5 = 2x + 3
    weight, bias = fold_norm(
        torch.tensor([[2.0]]),
        torch.tensor([1.0]),
        mean=torch.tensor([3.0]),
        variance=torch.tensor([15.0]),
        scale=torch.tensor([4.0]),
        shift=torch.tensor([5.0]),
        eps=1.0,
    )
    assert (weight.item(), bias.item()) == (2.0, 3.0)


@pytest.mark.parametrize("biased", [True, False])
def test_a_folded_norm_is_convolution_and_norm(biased):
    torch.manual_seed(0)
    convolution, norm = (
        nn.Conv2d(3, 4, 3, bias=biased).double(),
        nn.BatchNorm2d(4, affine=biased).double().eval(),
    )
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 2)
    if biased:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        norm.weight.data[0] = 0  # as timm's zero_init_last leaves it: nothing is divided by it
    image = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    weight, bias = fold_norm(
        convolution.weight,
        convolution.bias,
        mean=norm.running_mean,
        variance=norm.running_var,
        scale=norm.weight,
        shift=norm.bias,
        eps=norm.eps,
    )
    torch.testing.assert_close(nn.functional.conv2d(image, weight, bias), norm(convolution(image)))


def test_norms_behind_one_convolution_are_folded_and_no_others():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
            self.second, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, image):
            read_twice = self.second(self.norm(self.first(image)))
            return self.other(read_twice) + read_twice

    torch.manual_seed(0)
    model = Two().eval()
    model.norm.running_mean.normal_()
    model.other.running_mean.normal_()
    image = torch.randn(2, 1, 6, 6)
    unlifted = torch.export.export(model, (image,)).module(check_guards=False)
    graph = torch.fx.GraphModule(unlifted, unlifted.graph)
    assert fold_norms(graph) == 1
    torch.testing.assert_close(graph(image), model(image))
    assert {name for name, _ in graph.named_buffers()} == {"other.running_mean", "other.running_var"}


def test_the_graph_answers_as_the_network_and_shares_nothing_with_it(network, images):
    before = {name: one.clone() for name, one in network.state_dict().items()}
    graph, stages, embedding = traced(network, SHAPE)
    assert (len(stages), embedding) == (network.num_stages, True)
    assert not any("batch_norm" in str(node.target) for node in graph.graph.nodes)
    with torch.no_grad():
        own, other = graph(images), network(images, stages, True)
        for one, two in zip(own, (other.logits, *other.features, other.embedding), strict=True):
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-3)
        for parameter in graph.parameters():
            parameter.zero_()
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())


def test_what_rounds_shows_what_the_network_shows(network, rounded, images):
    with torch.no_grad():
        own, other = rounded(images, (-1, -3), True), network(images, (-3, -1), True)
    assert [one.shape for one in own.features] == [one.shape for one in other.features]
    assert own.embedding.shape == other.embedding.shape
    assert rounded(images).features == ()
    assert rounded(images).embedding is None
    # eight bits are near to float, and not float
    error = (own.logits - other.logits).norm() / other.logits.norm()
    assert 0 < error < 0.1
    with pytest.raises(
        KdzooError, match=r"cannot be looked into, as UnitOutput does: take knowledge of logits"
    ):
        rounded(images, probes=(UnitOutput("conv_stem"),))


def test_ranges_are_observed_in_train_mode_only(network, images):
    made = FakeQuantized(network, SHAPE, learns=True).train()
    made(images)

    def ranges():
        state = made.state_dict()
        return {name: one.clone() for name, one in state.items() if not name.endswith("observer_enabled")}

    seen = ranges()
    made.eval()(10 * images)
    assert all(torch.equal(one, seen[name]) for name, one in ranges().items())
    made.train()(10 * images)
    changed = {name.rpartition(".")[2] for name, one in ranges().items() if not torch.equal(one, seen[name])}
    assert {"scale", "max_val"} <= changed
    answer = made(images, made._stages, True)
    (answer.logits.square().sum() + answer.embedding.square().sum()).backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in made.parameters())


@pytest.mark.parametrize("learns", [True, False])
def test_the_program_stores_int8_and_answers_as_what_rounded(network, rounded, images, learns):
    if not learns:
        rounded = FakeQuantized(network, SHAPE, learns=False).eval()
        rounded(images)
    program = rounded.int8()
    stored = [one for one in program.state_dict.values() if one.dtype == torch.int8]
    weights = [one for one in network.model.parameters() if one.dim() > 1]
    assert sum(one.numel() for one in stored) == sum(one.numel() for one in weights)
    assert not any(one.dim() > 1 for one in program.state_dict.values() if one.dtype == torch.float32)
    written = io.BytesIO()
    torch.export.save(program, written)
    written.seek(0)
    loaded = torch.export.load(written).module()
    with torch.no_grad():
        float_logits, own = network(images).logits, loaded(images)
        assert (own - float_logits).norm() / float_logits.norm() < 0.1
        if learns:  # the same rounding; a value between two steps goes either way by the order of a sum
            same = rounded(images).logits
            assert (own - same).norm() / same.norm() < 0.02
        torch.testing.assert_close(loaded(images[:1]), own[:1])


@pytest.mark.slow
def test_the_file_is_read_in_another_process_as_the_card_says(rounded, images, tmp_path):
    """There torchao is not imported, which makes the operators known in this one."""
    (tmp_path / "student").mkdir()
    torch.export.save(rounded.int8(), tmp_path / "student" / "int8.pt2")
    torch.save(images, tmp_path / "images.pt")
    code = _CARD.partition("```python\n")[2].partition("```")[0]
    script = code.format(folder="student", file="int8.pt2", channels=1, height=28, width=28)
    script += "import sys\nassert 'torchao' not in sys.modules and 'kdzoo' not in sys.modules\n"
    script += "torch.save(model(torch.load('images.pt')), 'logits.pt')\n"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    with torch.no_grad():
        expected = rounded.int8().module()(images)
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt"), expected)


@pytest.mark.parametrize("name", ["test_nfnet", pytest.param("resnetv2_50x1_bit", marks=pytest.mark.slow)])
def test_a_network_that_computes_its_weights_is_refused(name):
    import timm

    network = Backbone(timm.create_model(name, num_classes=10), input_size=(64, 64))
    with pytest.raises(KdzooError, match=rf"model '{name}' computes the weights of \d+ of its \d+ layers"):
        traced(network, (3, 64, 64))


def test_what_torchao_does_not_round_is_named(rounded):
    import timm

    assert rounded.left_in_float == ()
    network = Backbone(timm.create_model("lcnet_035", num_classes=10), input_size=(32, 32))
    assert FakeQuantized(network, (3, 32, 32), learns=False).left_in_float == ("classifier.weight",)


def test_accuracy_leaves_unlabelled_images_out():
    image = torch.zeros(4, 1, 1, 1)
    batch = Batch(torch.arange(4), {"image": image}, torch.tensor([1, 0, 1, -1]))
    assert accuracy(lambda image: torch.tensor([[0.0, 1.0]] * len(image)), [batch, batch]) == pytest.approx(
        200 / 3
    )


def test_latency_is_measured_on_one_thread_for_each_network_and_batch():
    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = []

        def forward(self, image):
            self.calls.append((len(image), torch.get_num_threads(), torch.is_grad_enabled()))
            return image

    threads = torch.get_num_threads()
    networks = {"a": Spy(), "b": Spy()}
    taken = milliseconds(networks, (1, 2, 2), (1, 3), runs=4, compiled=False)
    assert set(taken) == {("a", 1), ("a", 3), ("b", 1), ("b", 3)}
    assert all(value > 0 for value in taken.values())
    assert set(networks["a"].calls) == {(1, 1, False), (3, 1, False)}
    assert len(networks["a"].calls) == 2 * (4 + 5)
    assert torch.get_num_threads() == threads


def test_without_torchao_or_a_compiler_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(KdzooError, match=r"algorithm\.compile needs a C\+\+ compiler"):
        Int8(compile=True)
    monkeypatch.setitem(sys.modules, "torchao.quantization.pt2e.fake_quantize", None)
    with pytest.raises(KdzooError, match=r"needs torchao: pip install 'kdzoo-quantized\[int8\]'"):
        Int8()
