from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from torch.autograd import gradcheck

from kdzoo.api import Backbone, Batch, KdzooError, Output
from kdzoo_attention.catkd import CATKD
from kdzoo_attention.class_maps import ClassMaps
from kdzoo_attention.functional import class_attention_loss, class_maps

FORMS = pytest.mark.parametrize("form", ["paper", "code"])
PROBE = ClassMaps()


def normal(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def answer(name, size=64, images=2, **settings):
    torch.manual_seed(0)
    backbone = Backbone(timm.create_model(name, num_classes=5, **settings), input_size=(size, size)).eval()
    draw = torch.Generator().manual_seed(1)
    return backbone, backbone(torch.rand(images, 3, size, size, generator=draw), probes=(PROBE,))


def by_hand(student, teacher, form):
    """For maps of 4x4 pixels, pooled to 2x2."""
    losses = []
    for pair in zip(student.numpy(), teacher.numpy(), strict=True):
        ours, theirs = (one.reshape(-1, 2, 2, 2, 2).mean(axis=(2, 4)).reshape(-1, 4) for one in pair)
        if form == "paper":
            ours, theirs = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (ours, theirs))
            losses.append(((ours - theirs) ** 2).sum(axis=1).mean())
        else:
            losses.append(((ours - theirs) ** 2).mean())
    return losses


@FORMS
def test_it_is_its_definition(form):
    student, teacher = normal(0, 3, 5, 4, 4), normal(1, 3, 5, 4, 4)
    loss = class_attention_loss(student, teacher, form=form, reduction="none")
    np.testing.assert_allclose(loss.numpy(), by_hand(student, teacher, form), rtol=1e-9)
    assert class_attention_loss(student, teacher, form=form).item() == pytest.approx(loss.mean().item())


@FORMS
def test_gradients_are_right_on_both_sides(form):
    student, teacher = normal(0, 2, 3, 4, 4).requires_grad_(), normal(1, 2, 3, 2, 3).requires_grad_()
    assert gradcheck(lambda s, t: class_attention_loss(s, t, form=form), (student, teacher))


@FORMS
def test_nothing_to_learn_from_an_equal(form):
    student = normal(0, 2, 3, 4, 4).requires_grad_()
    loss = class_attention_loss(student, student.detach(), form=form)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == 0.0
    assert gradient.norm().item() == 0.0


def test_how_strong_a_class_is_does_not_matter_to_the_paper():
    student, teacher = normal(0, 2, 3, 4, 4), normal(1, 2, 3, 4, 4)
    strong = student * torch.tensor([2.0, 5.0, 0.1]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(class_attention_loss(strong, teacher), class_attention_loss(student, teacher))
    assert class_attention_loss(strong, teacher, form="code") != class_attention_loss(
        student, teacher, form="code"
    )


@FORMS
def test_samples_do_not_see_each_other(form):
    student, teacher = normal(0, 4, 3, 4, 4), normal(1, 4, 3, 4, 4)
    order = torch.tensor([2, 0, 3, 1])
    samples = class_attention_loss(student, teacher, form=form, reduction="none")
    mixed = class_attention_loss(student[order], teacher[order], form=form, reduction="none")
    torch.testing.assert_close(mixed, samples[order])


def test_the_smaller_map_sets_the_grid():
    student, teacher = normal(0, 2, 3, 3, 3), normal(1, 2, 3, 6, 6)
    pooled = teacher.reshape(2, 3, 3, 2, 3, 2).mean((3, 5))
    torch.testing.assert_close(
        class_attention_loss(student, teacher, resolution=4),
        class_attention_loss(student, pooled, resolution=3),
    )


def test_class_maps_apply_the_classifier_at_each_place():
    feature, weight = normal(0, 2, 4, 3, 3), normal(1, 5, 4)
    maps = class_maps(feature, weight)
    torch.testing.assert_close(maps[1, :, 2, 0], weight @ feature[1, :, 2, 0])
    torch.testing.assert_close(maps.mean(dim=(2, 3)), feature.mean(dim=(2, 3)) @ weight.T)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_byobnet"])
def test_the_mean_of_the_maps_is_the_logits(name):
    backbone, output = answer(name)
    (maps,) = output.extras[PROBE]
    assert maps.shape == (2, 5, 2, 2)
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + backbone.classifier.bias, output.logits)


def test_body_and_classifier_learn():
    (backbone, student), (_, teacher) = answer("test_efficientnet"), answer("test_resnet")
    knowledge = CATKD()
    knowledge.build(student, teacher, None)
    loss = knowledge(student, teacher.detach(), Batch(torch.arange(2), {}))
    assert loss.shape == (2,)
    loss.mean().backward()
    assert backbone.classifier.weight.grad.abs().sum() > 0
    assert backbone.model.conv_stem.weight.grad.abs().sum() > 0


def test_maps_are_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, output = answer("test_resnet")
    assert output.extras[PROBE][0].dtype == torch.float32
    CATKD().build(output, output, None)


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("test_vit", {"img_size": 64}, "no linear classifier on an average-pooled map"),
        ("mobilenetv3_small_050", {}, "more than a linear classifier follows"),
        ("test_convnext", {}, "more than a linear classifier follows"),
        ("test_resnet", {"global_pool": "max"}, "not the average of its class maps"),
    ],
)
def test_other_classifiers_are_refused(name, settings, why):
    _, teacher = answer("test_resnet")

    def build():
        CATKD().build(answer(name, **settings)[1], teacher, None)

    with pytest.raises(KdzooError, match=why):
        build()


def test_single_pixels_are_refused_and_a_finer_last_stage_is_not():
    _, coarse = answer("test_resnet", 32)
    _, fine = answer("test_resnet", 32, output_stride=8)
    CATKD().build(fine, fine, None)
    with pytest.raises(
        KdzooError, match=r"teacher's class maps are a single pixel.*roles.teacher.kwargs.output_stride=8"
    ):
        CATKD().build(fine, coarse, None)


def test_a_bias_of_the_classifier_is_no_obstacle():
    _, output = answer("test_resnet", images=3)
    shifted = replace(output, logits=output.logits + torch.linspace(-9, 9, 5))
    CATKD().build(shifted, output, None)
    with pytest.raises(KdzooError, match="student's logits"):
        CATKD().build(Output(output.logits.flip(0), extras=output.extras), output, None)


def test_bad_arguments_are_refused():
    student = normal(0, 2, 3, 4, 4)
    with pytest.raises(ValueError, match="same B and K"):
        class_attention_loss(student, normal(1, 2, 4, 4, 4))
    with pytest.raises(ValueError, match="resolution"):
        class_attention_loss(student, student, resolution=0)
    with pytest.raises(ValueError, match="'mean'"):
        class_attention_loss(student, student, form="mean")
    with pytest.raises(ValueError, match="'sum'"):
        class_attention_loss(student, student, reduction="sum")
