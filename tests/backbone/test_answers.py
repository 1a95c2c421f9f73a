"""For any taps, the logits are those of timm's model, and the other outputs are its intermediate values."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from kdzoo.backbone import Backbone, build_backbone
from kdzoo.recipe.roles import RoleConfig

# Families that differ in how they pool, classify or show stages, made small.
FAMILIES: dict[str, tuple[dict[str, Any], int | None]] = {
    "mixer_s32_224": ({}, 64),  # MLP
    "resmlp_12_224": ({}, 64),  # MLP with affine layers
    "deit_tiny_distilled_patch16_224": ({"depth": 2, "embed_dim": 48}, 32),  # two classifiers in a tuple
    "levit_128s": ({}, None),  # normalised classifiers in a tuple, biases remembered in eval mode
    "crossvit_9_240": ({}, None),  # two branches, a list of classifiers
    "efficientvim_m1_dist": ({}, None),  # two lists of classifiers in a tuple
    "sequencer2d_s": (
        {"layers": [1, 1, 1, 1]},
        64,
    ),  # a head that pools and classifies, maps with channels last
    "dla46_c": ({}, None),  # a convolution classifies
    "mobilenetv3_small_050": ({}, None),  # layers between pooling and classifier
    "repvit_m0_9": ({}, None),  # batch norm in the classifier
    "swin_tiny_patch4_window7_224": ({"depths": [1, 1, 1, 1], "embed_dim": 24}, 64),
    "pvt_v2_b0": ({}, None),
    "cait_xxs24_224": ({"depth": 2}, 32),
    "xcit_nano_12_p16_224": ({"depth": 2}, 32),
}
TINY = tuple(timm.list_models("test_*"))
FIXED = ("test_coatnet", "test_maxvit", "test_vit3", "test_vit_relpos")


def _build(name: str) -> Backbone:
    torch.manual_seed(0)
    kwargs, img_size = FAMILIES.get(name, ({}, None))
    config = RoleConfig(model=name, kwargs=kwargs, img_size=img_size)
    return build_backbone(config, num_classes=7, channels=3, img_size=64)


def _images(backbone: Backbone, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, *backbone.input_size, generator=torch.Generator().manual_seed(1))


def test_there_are_tiny_models() -> None:
    assert len(TINY) >= 15


@pytest.mark.parametrize("name", [*TINY, *FAMILIES])
def test_logits_are_bitwise_those_of_timm(name: str) -> None:
    backbone = _build(name).eval()
    images = _images(backbone)
    cfg = backbone.model.pretrained_cfg
    mean, std = (torch.tensor(cfg[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    every = tuple(range(-backbone.num_stages, 0))
    with torch.no_grad():
        expected = backbone.model((images - mean) / std)
        plain, full = backbone(images), backbone(images, every, embedding=True)
        last = backbone(images, (-1,))
    assert expected.shape == (2, 7)
    for output in (plain, full, last):
        assert torch.equal(output.logits, expected)
    assert plain.features == ()
    assert plain.embedding is None

    assert len(full.features) == backbone.num_stages >= 2
    assert all(feature.dim() == 4 and len(feature) == 2 for feature in full.features)
    sides = [feature.shape[-1] for feature in full.features]
    if not name.startswith("crossvit"):  # its two branches come one after the other
        assert sides == sorted(sides, reverse=True)
    assert len(last.features) == 1
    assert torch.equal(last.features[0], full.features[-1])

    assert full.embedding is not None
    assert full.embedding.dim() == 2
    assert full.embedding.shape[1] in (backbone.model.num_features, backbone.model.head_hidden_size)


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_convnext", "mixer_s32_224", "sequencer2d_s"]
)
def test_the_classifier_turns_the_embedding_into_the_logits(name: str) -> None:
    backbone = _build(name).eval()
    output = backbone(_images(backbone), embedding=True)
    assert torch.equal(backbone.classifier(output.embedding), output.logits)


def test_a_convolution_reads_the_embedding_as_a_map() -> None:
    backbone = _build("dla46_c").eval()
    output = backbone(_images(backbone), embedding=True)
    assert output.embedding is not None
    assert torch.equal(backbone.classifier(output.embedding[:, :, None, None]).flatten(1), output.logits)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "deit_tiny_distilled_patch16_224", "levit_128s"])
def test_train_mode_answers_alike(name: str) -> None:
    """BatchNorm statistics, dropout and drop-path do not depend on what is asked for."""
    config = RoleConfig(
        model=name, drop_path=0.2, kwargs={**FAMILIES.get(name, ({}, 0))[0], "drop_rate": 0.3}
    )
    backbone = build_backbone(config, num_classes=7, channels=3, img_size=32).train()
    images = _images(backbone, 4)
    torch.manual_seed(3)
    plain = backbone(images).logits
    torch.manual_seed(3)
    full = backbone(images, (-2, -1), embedding=True).logits
    assert torch.equal(plain, full)
    assert not torch.equal(plain, backbone(images).logits)


def test_stages_are_ordered_shallow_to_deep() -> None:
    backbone = _build("test_resnet").eval()
    images = _images(backbone)
    pair = backbone(images, (-3, -1)).features
    every = backbone(images, tuple(range(-backbone.num_stages, 0))).features
    assert [torch.equal(*both) for both in zip(pair, (every[-3], every[-1]), strict=True)] == [True, True]


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_size_is_the_models_own_unless_the_role_says_otherwise(name: str) -> None:
    own = build_backbone(RoleConfig(model=name), num_classes=3, channels=3, img_size=32)
    assert own.input_size == (160, 160)
    other = build_backbone(RoleConfig(model=name, img_size=64), num_classes=3, channels=3, img_size=32)
    assert other.input_size == (64, 64)
    assert other.eval()(torch.rand(1, 3, 32, 32)).logits.shape == (1, 3)


def test_a_flexible_size_is_the_datas_unless_the_role_says_otherwise() -> None:
    for config, size in ((RoleConfig(model="test_vit"), 32), (RoleConfig(model="test_vit", img_size=48), 48)):
        assert build_backbone(config, num_classes=3, channels=3, img_size=32).input_size == (size, size)


def test_attributes() -> None:
    backbone = _build("test_vit.r160_in1k")
    assert (backbone.name, backbone.num_classes, backbone.channels) == ("test_vit", 7, 3)
    assert backbone.num_stages == len(backbone.model.blocks)
    assert backbone.training
