"""What cannot be built is refused in one line that says what can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import register_model
from torch import nn

from kdzoo.backbone import build_backbone
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.recipe.roles import RoleConfig


class Stageless(nn.Module):
    """A third party's model with timm's oldest interface: no stages, and a classifier that reads a map."""

    def __init__(self, num_classes: int = 10, in_chans: int = 3, pooled: bool = True) -> None:
        super().__init__()
        self.num_classes, self.in_chans = num_classes, in_chans
        self.pool = nn.AdaptiveAvgPool2d(1 if pooled else 2)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(in_chans * (1 if pooled else 4), num_classes))

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.pool(image))
        return answer


def stageless(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    from timm.models import build_model_with_cfg

    model: nn.Module = build_model_with_cfg(Stageless, "stageless", pretrained, **kwargs)
    return model


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    register_model(stageless)


def _refusal(config: RoleConfig, img_size: int = 32) -> str:
    with pytest.raises(KdzooError) as refused:
        build_backbone(config, num_classes=5, channels=3, img_size=img_size)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_unknown_model_offers_the_nearest_names() -> None:
    with pytest.raises(UnknownName, match=r"unknown timm model 'resnet_18'; did you mean .*resnet18"):
        build_backbone(RoleConfig(model="resnet_18"), num_classes=5, channels=3, img_size=32)


def test_unknown_pretrained_tag() -> None:
    assert "resnet18.nothing" in _refusal(RoleConfig(model="resnet18.nothing"))


@pytest.mark.parametrize("name", ["timm/resnet18", "ftp:resnet18", "local-dir:"])
def test_unknown_source(name: str) -> None:
    assert name in _refusal(RoleConfig(model=name))


def test_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "nowhere is no folder" in _refusal(RoleConfig(model="local-dir:nowhere"))
    (tmp_path / "empty").mkdir()
    assert "empty has no config.json" in _refusal(RoleConfig(model="local-dir:empty"))
    (tmp_path / "empty" / "config.json").write_text("{")
    assert "local-dir:empty" in _refusal(RoleConfig(model="local-dir:empty"))
    (tmp_path / "empty" / "config.json").write_text(json.dumps({"architecture": "test_resnet"}))
    assert "pretrained" in _refusal(RoleConfig(model="local-dir:empty", pretrained=True))


@pytest.mark.parametrize("key", ["num_classes", "in_chans", "img_size", "drop_path_rate", "features_only"])
def test_arguments_that_are_set_elsewhere(key: str) -> None:
    message = _refusal(RoleConfig(model="test_resnet", kwargs={key: 3}))
    assert key in message
    assert "test_resnet" in message


def test_arguments_that_the_model_does_not_take() -> None:
    assert "widht" in _refusal(RoleConfig(model="test_vit", kwargs={"widht": 3}))
    assert "drop_path_rate" in _refusal(RoleConfig(model="vgg11", drop_path=0.1))


def test_size_that_the_model_cannot_take() -> None:
    message = _refusal(RoleConfig(model="test_vit"), img_size=30)
    assert "'test_vit' cannot take images of 30x30" in message
    assert "--student-img-size" in message
    assert "160, its own, or a multiple of 16" in message
    assert "33x33" in _refusal(RoleConfig(model="test_maxvit", img_size=33))


def test_model_that_is_no_classifier() -> None:
    message = _refusal(RoleConfig(model="test_resnet", kwargs={"global_pool": ""}))
    assert "test_resnet" in message


def test_stages_that_the_model_does_not_have() -> None:
    backbone = build_backbone(RoleConfig(model="test_resnet"), num_classes=5, channels=3, img_size=32)
    with pytest.raises(KdzooError, match=r"'test_resnet' has 5 stages, -5 to -1 .*; asked for -6, -1"):
        backbone(torch.rand(1, 3, 32, 32), (-6, -1))


def test_model_without_stages_answers_the_rest() -> None:
    backbone = build_backbone(RoleConfig(model="stageless"), num_classes=5, channels=3, img_size=32)
    assert backbone.num_stages == 0
    assert backbone(torch.rand(1, 3, 32, 32)).logits.shape == (1, 5)
    assert backbone(torch.rand(1, 3, 32, 32), embedding=True).embedding.shape == (1, 3)
    with pytest.raises(KdzooError, match=r"'stageless' shows no stages .*logits or the embedding"):
        backbone(torch.rand(1, 3, 32, 32), (-1,))


def test_classifier_that_reads_no_vector() -> None:
    config = RoleConfig(model="stageless", kwargs={"pooled": False})
    backbone = build_backbone(config, num_classes=5, channels=3, img_size=32)
    with pytest.raises(KdzooError, match=r"'stageless' has no embedding: .* reads \(1, 3, 2, 2\)"):
        backbone(torch.rand(1, 3, 32, 32), embedding=True)


def test_building_draws_the_same_weights_as_timm() -> None:
    """The check of the input size draws no random numbers of its own."""
    torch.manual_seed(0)
    timm.create_model("test_resnet", num_classes=5)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build_backbone(RoleConfig(model="test_resnet"), num_classes=5, channels=3, img_size=32)
    assert torch.equal(torch.rand(3), expected)
