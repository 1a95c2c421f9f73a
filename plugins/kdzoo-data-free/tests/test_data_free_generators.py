"""The generator, its objectives, and the procedures around it: what holds whatever the images look like."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from torch import nn

import kdzoo_data_free
from kdzoo.api import Backbone, KdzooError
from kdzoo.cli.flags import layer
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.watch import KeepRun
from kdzoo.zoo import Zoo
from kdzoo_data_free.functional.meta import moving, pull, reptile_gradients
from kdzoo_data_free.functional.realism import (
    activation_loss,
    adversarial_loss,
    attention_gap,
    balance_loss,
    one_hot_loss,
)
from kdzoo_data_free.functional.statistics import channel_moments, statistics_loss
from kdzoo_data_free.generator import Generator
from kdzoo_data_free.statistics import BatchNormStatistics

METHODS = {
    "dfq": {"algorithm.steps": 2, "algorithm.student_steps": 2, "algorithm.width": 4},
    "dafl": {"algorithm.steps": 2, "algorithm.student_steps": 2, "algorithm.width": 4},
    "zskt": {"algorithm.steps": 2, "algorithm.student_steps": 2, "algorithm.width": 4},
    "fast": {
        "algorithm.inner_steps": 2,
        "algorithm.student_steps": 2,
        "algorithm.warmup": 2,
        "algorithm.width": 4,
    },
}
"""Each in a few steps."""


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def backbone(name="test_resnet", classes=4, size=32):
    return Backbone(timm.create_model(name, num_classes=classes), input_size=(size, size)).eval()


# The mathematics


def test_one_hot_is_the_log_of_the_highest_probability():
    logits = numbers(5, 7)
    assert torch.allclose(one_hot_loss(logits), -logits.softmax(1).amax(1).log())
    assert torch.allclose(one_hot_loss(torch.zeros(2, 7)), torch.full((2,), math.log(7)))
    assert one_hot_loss(1e3 * torch.eye(3)).abs().max() == 0


def test_balance_is_least_where_all_classes_are_as_frequent():
    certain = 1e3 * torch.eye(4, dtype=torch.float64)
    assert balance_loss(certain) == pytest.approx(-math.log(4))
    one_class = certain[:1].expand(6, 4)
    assert balance_loss(one_class) == pytest.approx(0)
    logits = numbers(6, 4)
    assert torch.allclose(balance_loss(logits), balance_loss(logits[torch.randperm(6)]))
    # A batch that is undecided everywhere is as balanced: certainty is the other term's business.
    assert balance_loss(torch.zeros(6, 4)) == pytest.approx(-math.log(4))
    sure = (1e3 * torch.eye(3)).requires_grad_()
    balance_loss(sure[:1]).backward()
    assert sure.grad.isfinite().all()


def test_activation_is_minus_the_mean_size():
    assert activation_loss(torch.tensor([[1.0, -3.0], [0.0, 0.0]])).tolist() == [-2.0, 0.0]


def test_the_adversary_looks_for_disagreement_and_may_stay_where_the_classes_agree():
    student, teacher = numbers(6, 5, seed=1), numbers(6, 5, seed=2)
    p, q = teacher.softmax(1), student.softmax(1)
    expected = -(p * (p / q).log()).sum(1)
    assert torch.allclose(adversarial_loss(student, teacher), expected)
    assert torch.allclose(adversarial_loss(teacher, teacher), torch.zeros(6, dtype=torch.float64))
    agree = student.argmax(1) == teacher.argmax(1)
    assert 0 < agree.sum() < 6
    assert torch.allclose(adversarial_loss(student, teacher, agreed_only=True), expected * agree)


def test_attention_forgets_size_and_channels():
    feature = numbers(3, 4, 5, 5)
    wider = torch.cat([feature, feature], dim=1)
    assert attention_gap(feature, 7 * wider).abs().max() < 1e-12
    one, other = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    one[..., 0], other[..., 1] = 1, 1
    assert attention_gap(one, other).tolist() == [1.0]  # (1 + 1) / 2 positions
    with pytest.raises(ValueError, match="pixels"):
        attention_gap(numbers(1, 1, 2, 2), numbers(1, 1, 3, 3))


def test_moments_are_those_of_batchnorm_itself():
    feature = numbers(6, 3, 4, 5) * 3 + 2
    layer = nn.BatchNorm2d(3, momentum=1.0).double()
    layer(feature)
    mean, var = channel_moments(feature)
    count = 6 * 4 * 5
    assert torch.allclose(mean, layer.running_mean)
    assert torch.allclose(var * count / (count - 1), layer.running_var)
    assert channel_moments(feature.half())[0].dtype == torch.float32


def test_the_statistics_loss_is_a_sum_of_norms():
    mean, var = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 1.0])
    zero = torch.zeros(2)
    assert statistics_loss([(mean, var, zero, var), (zero, mean, zero, zero)]) == 10
    assert statistics_loss([(mean, var, mean, var)]) == 0
    with pytest.raises(ValueError, match="no layer"):
        statistics_loss([])


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: one_hot_loss(x),
        lambda x: balance_loss(x),
        lambda x: activation_loss(x),
        lambda x: adversarial_loss(x, numbers(4, 5, seed=3)),
        lambda x: adversarial_loss(numbers(4, 5, seed=3), x),
        lambda x: attention_gap(x.view(4, 1, 1, 5), numbers(4, 2, 1, 5, seed=3)),
        lambda x: statistics_loss([(*channel_moments(x), numbers(5, seed=4), numbers(5, seed=5))]),
    ],
)
def test_gradients(loss):
    assert torch.autograd.gradcheck(loss, numbers(4, 5).requires_grad_())


def test_the_meta_gradients():
    start = [numbers(2, 3).requires_grad_(), numbers(4, seed=1).requires_grad_()]
    wanted = [numbers(2, 3, seed=2), numbers(4, seed=3)]
    got = torch.autograd.grad(pull(start, wanted), start)
    assert all(torch.allclose(one, other) for one, other in zip(got, wanted, strict=True))
    end = [one.detach() + 1 for one in start]
    for one, there, gradient in zip(start, end, reptile_gradients(start, end, 0.5), strict=True):
        assert torch.allclose(one - 2 * gradient, there)
    assert moving(None, start[1], 0.9) is start[1]
    assert torch.allclose(moving(torch.ones(4), torch.zeros(4), 0.9), torch.full((4,), 0.9))


# The parts


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 30), (1, 5), (3, 65)])
def test_the_generator_makes_images_of_any_size(channels, size):
    torch.manual_seed(0)
    generator = Generator(10, channels, size, 4)
    images = generator(torch.randn(6, 10))
    assert images.shape == (6, channels, size, size)
    assert 0 <= images.min() < images.max() <= 1
    assert (images[0] - images[1]).abs().mean() > 0.01
    (images * torch.randn(images.shape)).sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in generator.parameters())


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_byobnet"])
def test_statistics_are_read_where_batchnorm_reads_and_leave_no_trace(name):
    torch.manual_seed(0)
    network = backbone(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.rand(8, 3, 32, 32, requires_grad=True)
    statistics = BatchNormStatistics(network, name="it", needed_by="this", instead="that")
    with statistics.reading() as seen:
        network(images)
    assert len(seen) == sum(isinstance(one, nn.BatchNorm2d) for one in network.modules())
    network.train()
    for one in statistics.layers:
        one.momentum = 1.0
    network(images.detach())  # the first layer's input is the same in train mode
    assert torch.allclose(seen[0].mean, statistics.layers[0].running_mean, atol=1e-5)
    (gradient,) = torch.autograd.grad(statistics_loss([tuple(vars(seen[-1]).values())]), images)
    assert gradient.abs().sum() > 0
    network.load_state_dict(before)
    network(images)
    assert not any(one._forward_pre_hooks for one in network.modules())


def test_a_network_without_batchnorm_is_refused():
    with pytest.raises(KdzooError, match=r"this compares .* and it has no BatchNorm with running .*: that"):
        BatchNormStatistics(backbone("test_vit", size=160), name="it", needed_by="this", instead="that")


# The procedures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An image folder whose training images are all broken, and a teacher's weights."""
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "test"):
        for number, name in enumerate(("cat", "dog", "eel", "fox")):
            (root / split / name).mkdir(parents=True)
            for index in range(2):
                path = root / split / name / f"{index}.png"
                Image.new("RGB", (32, 32), (90 * index, 60 * number, 60)).save(path)
                if split == "train":
                    path.write_bytes(b"nobody can read this")
    torch.manual_seed(0)
    for name in ("test_resnet", "test_vit"):
        sized = {"img_size": 32, "patch_size": 8} if name == "test_vit" else {}
        torch.save(timm.create_model(name, num_classes=4, **sized).state_dict(), root / f"{name}.pth")
    return root


def recipe(folder, method, teacher="test_resnet", **settings):
    zoo = Zoo()
    flags = layer(
        teacher=teacher, teacher_checkpoint=folder / f"{teacher}.pth", student="test_efficientnet",
        data_dir=folder, epochs=2, batch_size=4,
    )  # fmt: skip
    extra = {"observers": [], **METHODS[method], **settings}
    return resolve(
        zoo=zoo, registry=load_registry(zoo), method=method, layers=[*flags, Layer("test", dotted(extra))]
    )


WATCHED: list[str] = []
OPENED: list[str] = []


def _watch(event, arguments):
    if WATCHED and event in {"open", "os.listdir", "os.scandir"} and isinstance(arguments[0], str | Path):
        path = str(arguments[0])
        if path.startswith(WATCHED[0]):
            OPENED.append(path)


sys.addaudithook(_watch)


@pytest.mark.parametrize("method", METHODS)
def test_no_training_image_is_opened(method, folder, tmp_path):
    """Neither a file nor a folder below train/ is opened by anybody in the process; those of test/ are."""
    settings = recipe(folder, method)
    OPENED.clear()
    WATCHED[:] = [str(folder)]
    try:
        result = train(settings, tmp_path / "run", zoo=Zoo())
    finally:
        WATCHED.clear()
    assert 0 <= result["test/last"] <= 100
    assert any("/test/" in path for path in OPENED)
    assert not [path for path in OPENED if "/train" in path]
    assert len(list((tmp_path / "run" / "pictures").glob("generated-*.png"))) == 2
    with pytest.raises(KdzooError, match="read"):
        train(recipe(folder, method, **{"data.withhold_train": False}), tmp_path / "other", zoo=Zoo())


class KeepPhases(KeepRun):
    """Keeps the run, and what its roles weighed when each phase began."""

    def __init__(self):
        super().__init__()
        self.before = []

    def phase_began(self, run, phase, steps, epoch):
        self.before.append({role: _copy(one) for role, one in run.roles.items()})


@pytest.mark.parametrize("method", METHODS)
def test_the_teacher_stays_what_it_is_and_generator_and_student_learn(method, folder, tmp_path):
    keep = KeepPhases()
    train(recipe(folder, method), tmp_path / "run", zoo=Zoo(), listeners=[keep])
    after = {role: _copy(one) for role, one in keep.run.roles.items()}
    first, last = keep.before[0], keep.before[-1]
    assert all(torch.equal(first["teacher"][key], value) for key, value in after["teacher"].items())
    for role, was in (("generator", first), ("student", last)):
        parameters = dict(keep.run.roles[role].named_parameters())
        changed = [key for key in parameters if not torch.equal(was[role][key], after[role][key])]
        assert len(changed) == len(parameters), role
    assert all(torch.equal(first["student"][key], value) for key, value in last["student"].items())


def _copy(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


@pytest.mark.parametrize("method", METHODS)
def test_other_knowledge_is_taught_on_the_same_images(method, folder, tmp_path):
    settings = {"knowledge": {"name": "rkd"}, "roles.student.model": "test_byobnet"}
    train(recipe(folder, method, **settings), tmp_path / "run", zoo=Zoo())


@pytest.mark.parametrize("method", ["dfq", "fast"])
def test_a_teacher_without_batchnorm_is_refused_before_anything_is_trained(method, folder, tmp_path):
    vit = {"roles.teacher.kwargs": {"patch_size": 8}, "roles.teacher.img_size": 32}
    with pytest.raises(KdzooError, match=r"teacher 'test_vit' has no BatchNorm"):
        train(recipe(folder, method, "test_vit", **vit), tmp_path / "run", zoo=Zoo())


@pytest.mark.parametrize("method", ["dfq", "dafl", "zskt"])
def test_other_methods_take_any_teacher(method, folder, tmp_path):
    settings = {"roles.teacher.kwargs": {"patch_size": 8}, "roles.teacher.img_size": 32}
    if method == "dfq":
        settings |= {"algorithm.statistics": 0.0, "algorithm.activation": 0.1}
    train(recipe(folder, method, "test_vit", **settings), tmp_path / "run", zoo=Zoo())


def test_what_cannot_work_is_refused(folder, tmp_path):
    with pytest.raises(KdzooError, match="add one, such as --knowledge kd"):
        train(recipe(folder, "dafl", knowledge=None), tmp_path / "no-knowledge", zoo=Zoo())
    with pytest.raises(KdzooError, match="compares the attention of 9 stages"):
        train(recipe(folder, "zskt", **{"algorithm.stages": 9}), tmp_path / "stages", zoo=Zoo())


def test_reptile_and_the_noise_control_run(folder, tmp_path):
    train(recipe(folder, "fast", **{"algorithm.meta": "reptile"}), tmp_path / "reptile", zoo=Zoo())
    train(recipe(folder, "dfq", **{"algorithm.source": "noise"}), tmp_path / "noise", zoo=Zoo())
    assert not list((tmp_path / "noise").glob("pictures/generated-*"))


def test_the_plugin_announces_itself_without_torch():
    names = list(kdzoo_data_free.kdzoo_algorithms())
    assert {"generative", "dafl", "zskt", "fast"} <= set(names)
    script = "import sys, kdzoo_data_free; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
