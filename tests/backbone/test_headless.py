"""Without a classifier, a network shows what timm's model shows: its pooled features and its last map."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from kdzoo.api import KdzooError, Taps
from kdzoo.backbone import Backbone, build_backbone
from kdzoo.recipe.roles import RoleConfig

TEACHERS: dict[str, tuple[dict[str, Any], int | None]] = {
    "test_vit": ({}, 32),  # a class token
    "test_vit2": ({}, 32),
    "test_vit3": ({}, 32),  # no class token
    "test_vit4": ({}, 32),
    "deit_tiny_distilled_patch16_224": ({"depth": 2, "embed_dim": 48}, 32),  # two prefix tokens
    "vit_small_patch14_reg4_dinov2": ({"depth": 2, "embed_dim": 48, "num_heads": 3}, 28),  # registers
    "vit_small_patch16_dinov3": ({"depth": 2, "embed_dim": 48, "num_heads": 3}, 32),  # rotary positions
    "vit_base_patch16_siglip_224": ({"depth": 2, "embed_dim": 48, "num_heads": 3}, 32),  # attention pooling
    "eva02_tiny_patch14_224": ({"depth": 2, "embed_dim": 48, "num_heads": 3}, 28),
    "beit_base_patch16_224": ({"depth": 2, "embed_dim": 48, "num_heads": 3}, 32),
    "cait_xxs24_224": ({"depth": 2}, 32),  # its class token comes late
    "test_convnext": ({}, None),
    "swin_tiny_patch4_window7_224": ({"depths": [1, 1, 1, 1], "embed_dim": 24}, 64),  # channels last
    "test_maxvit": ({}, 64),
    "test_coatnet": ({}, 64),
    "test_efficientnet": ({}, None),
    "mobilenetv3_small_050": ({}, None),  # layers between pooling and classifier
    "regnetx_002": ({}, None),
    "test_resnet": ({}, None),
    "test_nfnet": ({}, None),
    "mixer_s32_224": ({}, 64),
}


def _build(name: str, classes: int = 0) -> Backbone:
    torch.manual_seed(0)
    kwargs, img_size = TEACHERS[name]
    config = RoleConfig(model=name, kwargs=kwargs, img_size=img_size)
    return build_backbone(config, num_classes=classes, channels=3, img_size=64)


@pytest.mark.parametrize("name", TEACHERS)
def test_features_are_bitwise_those_of_timm(name: str) -> None:
    backbone = _build(name).eval()
    model = backbone.model
    images = torch.rand(2, 3, *backbone.input_size, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(model.pretrained_cfg[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    every = tuple(range(-backbone.num_stages, 1))
    with torch.no_grad():
        features = model.forward_features((images - mean) / std)
        pooled = model.forward_head(features, pre_logits=True)
        for stages in ((), (0,), (-1, 0), every):
            output = backbone(images, stages, embedding=True)
            assert torch.equal(output.embedding, pooled)
            assert not output.has_logits
            assert len(output.features) == len(stages)
            if 0 not in stages:
                continue
            last = output.features[-1]
            if features.dim() == 3:
                tokens = last.flatten(2).transpose(1, 2)
                assert torch.equal(tokens, features[:, features.shape[1] - tokens.shape[1] :])
                assert features.shape[1] - tokens.shape[1] <= 5, "a few prefix tokens are left out, no patch"
                assert last.shape[2:] == tuple(side // last_reduction(model) for side in backbone.input_size)
            else:
                assert torch.equal(last, features) or torch.equal(last, features.permute(0, 3, 1, 2))


def last_reduction(model: Any) -> int:
    return int(model.feature_info[-1]["reduction"])


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "swin_tiny_patch4_window7_224"])
def test_a_network_with_a_classifier_shows_the_same_map_and_the_same_logits(name: str) -> None:
    backbone = _build(name, classes=7).eval()
    images = torch.rand(2, 3, *backbone.input_size)
    with torch.no_grad():
        plain, mapped = backbone(images), backbone(images, (0,), embedding=True)
        features = backbone.model.forward_features(backbone.prepare(images))
    assert torch.equal(plain.logits, mapped.logits)
    if features.dim() == 3:  # (B, tokens, C), the class token first
        features = features[:, 1:].transpose(1, 2)
    elif name.startswith("swin"):
        features = features.permute(0, 3, 1, 2)
    assert torch.equal(mapped.features[0].flatten(2), features.flatten(2))
    assert torch.equal(backbone.classifier(mapped.embedding), plain.logits)


def test_what_needs_logits_refuses_in_one_sentence() -> None:
    backbone = _build("test_resnet").eval()
    output = backbone(torch.rand(2, 3, 32, 32))
    with pytest.raises(
        KdzooError, match=r"the network has no classifier, and logits are needed here: give it one"
    ):
        _ = output.logits
    for again in (output.detach(), output.map(torch.Tensor.double)):
        assert not again.has_logits
    assert output.detach().embedding is not None
    with pytest.raises(KdzooError, match="without a classifier"):
        _ = backbone.classifier
    with pytest.raises(KdzooError, match="no head to train"):
        backbone.train_head_only()


def test_a_model_whose_features_are_no_map_says_so() -> None:
    backbone = build_backbone(RoleConfig(model="pit_ti_224"), num_classes=0, channels=3, img_size=32)
    with pytest.raises(KdzooError, match=r"has no last map: its forward_features returns \(1, 1, 256\)"):
        backbone.eval()(torch.rand(1, 3, 32, 32), (0,))


def test_features_without_a_vector_are_refused_when_the_network_is_built() -> None:
    config = RoleConfig(model="test_resnet", kwargs={"global_pool": ""})
    with pytest.raises(
        KdzooError, match=r"has no embedding without its classifier: .* one vector per sample"
    ):
        build_backbone(config, num_classes=0, channels=3, img_size=128)


def test_it_compiles_as_one_graph() -> None:
    backbone = _build("test_vit").eval()
    images = torch.rand(2, 3, 32, 32)
    expected = backbone(images, (-1, 0), embedding=True)
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    backbone.compile(backend=keep)
    found = backbone(images, (-1, 0), embedding=True)
    assert len(graphs) == 1
    assert torch.equal(found.embedding, expected.embedding)
    assert torch.equal(found.features[1], expected.features[1])
    assert not found.has_logits


def test_taps_end_with_the_last_map() -> None:
    assert Taps((-2, 0), embedding=True).of("teacher") == (-2, 0)
    for stages in ((1,), (0, -1)):
        with pytest.raises(ValueError, match="at most 0"):
            Taps(stages)


def test_only_the_head_is_trained() -> None:
    backbone = _build("test_resnet", classes=4).train()
    backbone.train_head_only()
    trained = [name for name, one in backbone.named_parameters() if one.requires_grad]
    assert trained == ["model.fc.weight", "model.fc.bias"]
    before = {name: one.clone() for name, one in backbone.state_dict().items()}
    backbone.requires_grad_(True).train()
    optimizer = torch.optim.SGD(backbone.parameters(), lr=0.1)
    backbone(torch.rand(4, 3, 32, 32)).logits.square().sum().backward()
    optimizer.step()
    changed = [name for name, one in backbone.state_dict().items() if not torch.equal(one, before[name])]
    assert changed == trained, "nor do batch statistics move"
    backbone.train_head_only(False)
    assert all(one.requires_grad for one in backbone.parameters())
    assert all(module.training for module in backbone.modules())


def test_timm_builds_what_is_named() -> None:
    assert len(TEACHERS) >= 20
    assert set(TEACHERS) <= set(timm.list_models())
