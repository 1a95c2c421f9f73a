"""The networks: size, names, forward pass against a description that shares no code, stages, checkpoints, export."""

import pytest
import timm
import torch
from torch.nn import functional as F

import kdzoo_cifar.networks  # noqa: F401  # registers them with timm
from kdzoo.api import Backbone, KdzooError
from kdzoo.engine.weights import load_weights

PARAMETERS = {
    "resnet8": 83_892,
    "resnet14": 181_108,
    "resnet20": 278_324,
    "resnet32": 472_756,
    "resnet44": 667_188,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn_16_1": 180_916,
    "wrn_16_2": 703_284,
    "wrn_40_1": 569_780,
    "wrn_40_2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg11": 9_277_284,
    "vgg13": 9_462_180,
    "vgg16": 14_774_436,
    "vgg19": 20_086_692,
    "mobilenetv2": 812_836,
    "shufflev1": 949_258,
    "shufflev2": 1_355_528,
    "resnet18": 11_220_132,
    "resnet34": 21_328_292,
    "resnet50": 23_705_252,
}
RESNET, WIDE_STEM = "16@32 16@32 32@16 64@8", "64@32 64@32 128@16 256@8 512@4"
MAPS = {
    **dict.fromkeys(
        ("resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"), RESNET
    ),
    **dict.fromkeys(("resnet8x4", "resnet32x4"), "32@32 64@32 128@16 256@8"),
    **dict.fromkeys(("wrn_16_1", "wrn_40_1"), RESNET),
    **dict.fromkeys(("wrn_16_2", "wrn_40_2"), "16@32 32@32 64@16 128@8"),
    **dict.fromkeys(("vgg8", "vgg11", "vgg13", "vgg16", "vgg19"), "64@32 128@16 256@8 512@4 512@4"),
    "mobilenetv2": "16@16 12@16 16@8 48@4 160@2",
    "shufflev1": "24@32 240@16 480@8 960@4",
    "shufflev2": "24@32 116@16 232@8 464@4",
    "resnet18": WIDE_STEM,
    "resnet34": WIDE_STEM,
    "resnet50": "64@32 256@32 512@16 1024@8 2048@4",
}


def made(name, **settings):
    torch.manual_seed(0)
    return timm.create_model(f"cifar_{name}", **settings).eval()


def varied(model):
    """Running statistics and affine parameters of BatchNorm that are not the identity."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_var", "bn1.weight", "bn2.weight", "bn3.weight")):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif name.endswith(("running_mean", "bias")):
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
    return model


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_maps_and_embedding_are_the_published_ones(name):
    model = made(name)
    assert sum(one.numel() for one in model.parameters()) == PARAMETERS[name]
    stages = len(MAPS[name].split())
    output = Backbone(model, input_size=(32, 32)).eval()(
        torch.rand(2, 3, 32, 32), tuple(range(-stages, 0)), embedding=True
    )
    assert " ".join(f"{one.shape[1]}@{one.shape[2]}" for one in output.features) == MAPS[name]
    described = [f"{one['num_chs']}@{32 // one['reduction']}" for one in model.feature_info]
    assert " ".join(described) == MAPS[name]
    assert output.logits.shape == (2, 100)
    assert output.embedding.shape == (2, model.num_features)


class Weights:
    """The tensors of a state dict as functions, by published name."""

    def __init__(self, model):
        self.tensors = dict(model.state_dict())

    def conv(self, name, x, stride=1, groups=1):
        weight = self.tensors[f"{name}.weight"]
        bias = self.tensors.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2, groups=groups)

    def bn(self, name, x):
        mean, var, weight, bias = (
            self.tensors[f"{name}.{part}"].view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    def linear(self, name, x):
        return x.mean(dim=(2, 3)) @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def has(self, name):
        return f"{name}.weight" in self.tensors


def residual(at, x, blocks, shortcut, classifier, deep):
    x = at.bn("bn1", at.conv("conv1", x)).relu()
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            stride = 2 if block == 0 and stage > 1 else 1
            short = x
            if at.has(f"{name}.{shortcut}.0"):
                short = at.bn(f"{name}.{shortcut}.1", at.conv(f"{name}.{shortcut}.0", x, stride))
            if deep:
                y = at.bn(f"{name}.bn1", at.conv(f"{name}.conv1", x)).relu()
                y = at.bn(f"{name}.bn2", at.conv(f"{name}.conv2", y, stride)).relu()
                y = at.bn(f"{name}.bn3", at.conv(f"{name}.conv3", y))
            else:
                y = at.bn(f"{name}.bn1", at.conv(f"{name}.conv1", x, stride)).relu()
                y = at.bn(f"{name}.bn2", at.conv(f"{name}.conv2", y))
            x = (y + short).relu()
    return at.linear(classifier, x)


def wide(at, x, count):
    x = at.conv("conv1", x)
    for stage in (1, 2, 3):
        for block in range(count):
            name = f"block{stage}.layer.{block}"
            stride = 2 if block == 0 and stage > 1 else 1
            active = at.bn(f"{name}.bn1", x).relu()
            y = at.conv(
                f"{name}.conv2", at.bn(f"{name}.bn2", at.conv(f"{name}.conv1", active, stride)).relu()
            )
            x = y + (at.conv(f"{name}.convShortcut", active, stride) if at.has(f"{name}.convShortcut") else x)
    return at.linear("fc", at.bn("bn1", x).relu())


def vgg(at, x, depths):
    for block, depth in enumerate(depths):
        for layer in range(depth):
            x = at.bn(f"block{block}.{3 * layer + 1}", at.conv(f"block{block}.{3 * layer}", x)).relu()
        if block < 3:
            x = F.max_pool2d(x, 2)
    return at.linear("classifier", x)


def mobile(at, x):
    x = at.bn("conv1.1", at.conv("conv1.0", x, 2)).relu()
    for group, (count, first) in enumerate(((1, 1), (2, 1), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1))):
        for block in range(count):
            name = f"blocks.{group}.{block}.conv"
            stride = first if block == 0 else 1
            y = at.bn(f"{name}.1", at.conv(f"{name}.0", x)).relu()
            y = at.bn(f"{name}.4", at.conv(f"{name}.3", y, stride, groups=y.shape[1])).relu()
            y = at.bn(f"{name}.7", at.conv(f"{name}.6", y))
            x = x + y if stride == 1 and x.shape == y.shape else y
    return at.linear("classifier.0", at.bn("conv2.1", at.conv("conv2.0", x)).relu())


def mixed(x, groups):
    """Channel i of the result is channel (i mod g) (C/g) + i div g."""
    count = x.shape[1]
    return x[:, [(i % groups) * (count // groups) + i // groups for i in range(count)]]


def shuffle_v1(at, x):
    x = at.bn("bn1", at.conv("conv1", x)).relu()
    for stage, count in ((1, 4), (2, 8), (3, 4)):
        for block in range(count):
            name = f"layer{stage}.{block}"
            first, stride = (1 if stage == 1 and block == 0 else 3), (2 if block == 0 else 1)
            y = mixed(at.bn(f"{name}.bn1", at.conv(f"{name}.conv1", x, groups=first)).relu(), first)
            y = at.bn(f"{name}.bn2", at.conv(f"{name}.conv2", y, stride, groups=y.shape[1])).relu()
            y = at.bn(f"{name}.bn3", at.conv(f"{name}.conv3", y, groups=3))
            pooled = F.avg_pool2d(x, 3, 2, padding=1)
            x = (torch.cat([y, pooled], dim=1) if stride == 2 else y + x).relu()
    return at.linear("linear", x)


def shuffle_v2(at, x):
    x = at.bn("bn1", at.conv("conv1", x)).relu()
    for stage, count in ((1, 4), (2, 8), (3, 4)):
        for block in range(count):
            name = f"layer{stage}.{block}"
            if block == 0:
                left = at.bn(f"{name}.bn1", at.conv(f"{name}.conv1", x, 2, groups=x.shape[1]))
                left = at.bn(f"{name}.bn2", at.conv(f"{name}.conv2", left)).relu()
                right, layers, stride = x, ("3", "4", "5"), 2
            else:
                left, right = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
                layers, stride = ("1", "2", "3"), 1
            one, two, three = layers
            right = at.bn(f"{name}.bn{one}", at.conv(f"{name}.conv{one}", right)).relu()
            right = at.conv(f"{name}.conv{two}", right, stride, groups=right.shape[1])
            right = at.bn(f"{name}.bn{two}", right)
            right = at.bn(f"{name}.bn{three}", at.conv(f"{name}.conv{three}", right)).relu()
            x = mixed(torch.cat([left, right], dim=1), 2)
    return at.linear("linear", at.bn("bn2", at.conv("conv2", x)).relu())


@pytest.mark.parametrize(
    ("name", "described"),
    [
        ("resnet20", lambda at, x: residual(at, x, (3, 3, 3), "downsample", "fc", False)),
        ("resnet8x4", lambda at, x: residual(at, x, (1, 1, 1), "downsample", "fc", False)),
        ("resnet18", lambda at, x: residual(at, x, (2, 2, 2, 2), "shortcut", "linear", False)),
        ("resnet50", lambda at, x: residual(at, x, (3, 4, 6, 3), "shortcut", "linear", True)),
        ("wrn_16_1", lambda at, x: wide(at, x, 2)),
        ("wrn_40_2", lambda at, x: wide(at, x, 6)),
        ("vgg8", lambda at, x: vgg(at, x, (1, 1, 1, 1, 1))),
        ("vgg13", lambda at, x: vgg(at, x, (2, 2, 2, 2, 2))),
        ("mobilenetv2", mobile),
        ("shufflev1", shuffle_v1),
        ("shufflev2", shuffle_v2),
    ],
)
def test_the_forward_pass_is_the_published_one(name, described):
    model, images = varied(made(name)).double(), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model(images), described(Weights(model), images))


@pytest.mark.parametrize("name", ["resnet8x4", "wrn_16_2", "vgg8", "mobilenetv2", "shufflev1", "shufflev2"])
def test_the_head_follows_from_the_last_stage(name):
    backbone = Backbone(varied(made(name)), input_size=(32, 32)).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        whole = backbone(images, (-1,), embedding=True)
        torch.testing.assert_close(backbone.head(whole.features[0]), whole.logits)
        torch.testing.assert_close(backbone(images).logits, whole.logits)
        torch.testing.assert_close(backbone.classifier(whole.embedding), whole.logits)


def test_images_of_64_pixels_are_pooled_once_more_by_a_vgg():
    with torch.no_grad():
        (*_, fourth, fifth) = made("vgg8").forward_intermediates(torch.rand(1, 3, 64, 64))[1]
    assert (fourth.shape[-1], fifth.shape[-1]) == (8, 4)


def test_initial_weights_have_the_published_spread():
    for name, key in (
        ("resnet20", "layer3.1.conv1"),
        ("wrn_40_2", "block3.layer.1.conv1"),
        ("vgg8", "block3.0"),
    ):
        weight = made(name).get_submodule(key).weight
        assert weight.std().item() == pytest.approx((2 / (9 * weight.shape[0])) ** 0.5, rel=0.02)
    assert made("vgg8").classifier.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not made("wrn_16_1").fc.bias.any()
    assert made("resnet20").fc.bias.any()


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("resnet56", {"conv1.weight", "layer2.0.downsample.1.running_var", "layer3.8.bn2.bias", "fc.bias"}),
        ("wrn_40_2", {"block1.layer.0.convShortcut.weight", "block3.layer.5.conv2.weight", "bn1.weight"}),
        ("vgg13", {"block0.3.bias", "block4.4.running_mean", "classifier.weight"}),
        ("resnet50", {"layer4.2.bn3.weight", "layer1.0.shortcut.1.bias", "linear.weight"}),
    ],
)
def test_public_teachers_load(name, keys, tmp_path):
    """A file as the public ones are: the state dict under ``model``, beside a count of epochs."""
    model = varied(made(name))
    assert keys <= model.state_dict().keys()
    torch.save(
        {"epoch": 240, "model": model.state_dict(), "best_acc": 72.34}, tmp_path / "ckpt_epoch_240.pth"
    )
    other = Backbone(timm.create_model(f"cifar_{name}"), input_size=(32, 32)).eval()
    load_weights(other, tmp_path / "ckpt_epoch_240.pth")
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(other.model(images), model(images))


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    torch.save({"model": made("resnet8x4").state_dict()}, tmp_path / "x.pth")
    with pytest.raises(KdzooError, match="does not fit model 'cifar_resnet8'"):
        load_weights(Backbone(made("resnet8"), input_size=(32, 32)), tmp_path / "x.pth")


def test_the_tag_says_whose_mean_normalises():
    own, other = made("wrn_16_1"), made("wrn_16_1.cifar10")
    assert (own.num_classes, own.pretrained_cfg["mean"]) == (100, (0.5071, 0.4867, 0.4408))
    assert other.num_classes == 10
    assert other.pretrained_cfg["mean"] == pytest.approx((0.4914, 0.4824, 0.4467), abs=1e-4)


def test_the_classifier_can_be_replaced_or_left_out():
    for name in ("resnet8x4", "mobilenetv2"):
        model = made(name, num_classes=7, in_chans=1)
        assert model(torch.rand(2, 1, 32, 32)).shape == (2, 7)
        model.reset_classifier(0)
        assert model(torch.rand(2, 1, 32, 32)).shape == (2, model.num_features)
        model.reset_classifier(3)
        assert model(torch.rand(2, 1, 32, 32)).shape == (2, 3)
        with pytest.raises(ValueError, match="average"):
            model.reset_classifier(3, "max")


def test_every_parameter_has_a_group_for_layer_wise_rates():
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(made("mobilenetv2"), layer_decay=0.5, weight_decay=0.0)
    assert sorted({group["lr_scale"] for group in groups}) == [0.5**power for power in range(5, -1, -1)]
