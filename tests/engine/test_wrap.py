"""Networks that are not timm's as teacher and student."""

import copy
from types import SimpleNamespace

import pytest
import timm
import torch
import torchvision
from torch import nn

import kdzoo
from kdzoo.errors import KdzooError

STAGES = ["layer1", "layer2", "layer3", "layer4"]


def images(size=64) -> torch.Tensor:
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def pair():
    """One ResNet-18 as timm's and as torchvision's."""
    torch.manual_seed(0)
    own = timm.create_model("resnet18", num_classes=4)
    theirs = torchvision.models.resnet18(num_classes=4)
    theirs.load_state_dict(own.state_dict())
    return own, theirs


@pytest.fixture
def student():
    torch.manual_seed(1)
    return timm.create_model("test_efficientnet", num_classes=4)


class Answering(nn.Module):
    """As a vision model of transformers: it returns an object with logits."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixel_values):
        return SimpleNamespace(loss=None, logits=self.network(pixel_values), hidden_states=None)


@pytest.mark.parametrize("method", ["at", "fitnet", "kd", "rkd"])
def test_a_wrapped_network_teaches_as_timms_own(pair, student, method):
    own, theirs = pair
    wrapped = kdzoo.wrap(theirs, stages=STAGES, input_size=(3, 64, 64))
    losses = [
        kdzoo.Distiller(copy.deepcopy(student), teacher, method, example=images())(images(), torch.arange(4))
        for teacher in (own, wrapped)
    ]
    for name in ("task", "teach", "total"):
        torch.testing.assert_close(losses[0][name], losses[1][name])


def test_a_wrapped_student_is_trained_in_place(pair, student):
    model = copy.deepcopy(pair[1]).requires_grad_()  # it may have been a teacher
    distiller = kdzoo.Distiller(kdzoo.wrap(model, stages=STAGES), student, "at", example=images())
    assert {id(one) for one in model.parameters()} <= {id(one) for one in distiller.parameters()}
    model.train()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller(images(), torch.arange(4))["total"].backward()
    optimizer.step()
    assert not torch.equal(model.conv1.weight, before["conv1.weight"])
    assert not torch.equal(model.bn1.running_mean, before["bn1.running_mean"])


def test_its_shapes_are_found(pair):
    wrapped = kdzoo.wrap(pair[1], stages=STAGES, input_size=(3, 64, 64))
    assert wrapped.num_classes == 4
    assert [(one["num_chs"], one["reduction"]) for one in wrapped.feature_info] == [
        (64, 4), (128, 8), (256, 16), (512, 32)
    ]  # fmt: skip
    assert wrapped.get_classifier() is pair[1].fc


def test_tokens_become_maps(student):
    torch.manual_seed(0)
    model = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=4)
    names = [f"encoder.layers.encoder_layer_{number}" for number in (0, 1)]
    wrapped = kdzoo.wrap(model, stages=names, input_size=(3, 32, 32))
    assert [one["num_chs"] for one in wrapped.feature_info] == [16, 16]
    _, (last,) = wrapped.forward_intermediates(images(32), [-1])
    tokens = []
    handle = model.get_submodule(names[1]).register_forward_hook(
        lambda part, given, made: tokens.append(made)
    )
    logits = model(images(32))
    handle.remove()
    assert torch.equal(last.flatten(2).transpose(1, 2), tokens[0][:, 1:])
    assert torch.equal(wrapped(images(32)), logits)
    assert kdzoo.Distiller(student, wrapped, "mgd", example=images(32))(images(32))["teach"] > 0


def test_maps_with_channels_last_are_turned():
    torch.manual_seed(0)
    model = torchvision.models.SwinTransformer([2, 2], 8, [2, 2], [2, 2], [4, 4], num_classes=4)
    wrapped = kdzoo.wrap(model, stages=["features.1", "features.3"], input_size=(3, 32, 32))
    assert [(one["num_chs"], one["reduction"]) for one in wrapped.feature_info] == [(8, 2), (16, 4)]


def test_an_object_with_logits_is_read_and_a_raw_network_is_wrapped_by_itself(pair, student):
    target = torch.arange(4)
    theirs = copy.deepcopy(pair[1]).eval()
    expected = kdzoo.Distiller(copy.deepcopy(student), theirs, "kd", example=images())(images(), target)
    found = kdzoo.Distiller(copy.deepcopy(student), Answering(theirs), "kd", example=images())(
        images(), target
    )
    assert torch.equal(found["total"], expected["total"])
    raw = Answering(copy.deepcopy(pair[1]))
    distiller = kdzoo.Distiller(raw, theirs, "kd", example=images())
    assert distiller.student is raw
    assert torch.equal(
        copy.deepcopy(distiller)(images(), target)["total"], distiller(images(), target)["total"]
    )
    with pytest.raises(KdzooError, match=r"ResNet' shows no stages.*kdzoo\.wrap\(model, stages="):
        kdzoo.Distiller(student, theirs, "fitnet", example=images())


def test_without_a_classifier_the_answer_is_the_embedding(pair, student):
    model = copy.deepcopy(pair[1])
    model.fc = nn.Identity()
    teacher = kdzoo.wrap(model, num_classes=0, input_size=(3, 64, 64))
    losses = kdzoo.Distiller(student, teacher, "rkd", example=images())(images())
    own = copy.deepcopy(pair[0])
    own.reset_classifier(0)
    expected = kdzoo.Distiller(copy.deepcopy(student), own, "rkd", example=images())(images())
    torch.testing.assert_close(losses["teach"], expected["teach"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"stages": ["layer9"]}, r"ResNet has no module 'layer9'; it has conv1, bn1"),
        ({"stages": ["fc"]}, r"stage 'fc' returns \(2, 4\) where a map"),
        ({"embedding": "head"}, r"ResNet has no module 'head'"),
        ({"num_classes": 5}, "answers with 4 logits, not 5"),
        ({"input_size": (1, 64, 64)}, r"ResNet cannot take images of \(1, 64, 64\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(pair, arguments, says):
    with pytest.raises(KdzooError, match=says):
        kdzoo.wrap(pair[1], **arguments)


@pytest.mark.parametrize("model", [nn.Linear(3, 4), nn.Conv2d(3, 4, 1), Answering(nn.Identity())])
def test_what_is_no_image_classifier_is_refused_in_one_line(model, student):
    with pytest.raises(KdzooError, match=r"where logits \(B, K\) are needed|cannot take images"):
        kdzoo.Distiller(student, model, "kd", example=images())


def test_a_method_that_borrows_the_classifier_says_that_it_cannot(pair, student):
    teacher = kdzoo.wrap(pair[1], stages=STAGES, input_size=(3, 64, 64))
    with pytest.raises(KdzooError, match="do not follow from the map of its last stage"):
        kdzoo.Distiller(student, [teacher, teacher], "ca-mkd", example=images())(images(), torch.arange(4))
