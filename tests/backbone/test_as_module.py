"""A Backbone is used as any module is: copied, compiled, frozen, cast, saved."""

from __future__ import annotations

import copy

import pytest
import torch

from kdzoo.backbone import Backbone, build_backbone
from kdzoo.errors import KdzooError
from kdzoo.recipe.roles import RoleConfig

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _build(model: str = "test_resnet") -> Backbone:
    return build_backbone(RoleConfig(model=model), num_classes=5, channels=3, img_size=32)


def _hooks(backbone: Backbone) -> int:
    return sum(len(module._forward_pre_hooks) for module in backbone.modules())


def test_state_dict_is_timms_with_a_prefix() -> None:
    backbone = _build()
    assert list(backbone.state_dict()) == [f"model.{key}" for key in backbone.model.state_dict()]


def test_a_copy_is_equal_and_independent() -> None:
    backbone = _build().eval()
    before = backbone(IMAGES, (-1,), embedding=True)
    twin = copy.deepcopy(backbone)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    after = backbone(IMAGES, (-1,), embedding=True)
    assert torch.equal(before.logits, after.logits)
    assert torch.equal(before.embedding, after.embedding)
    assert not twin(IMAGES, embedding=True).logits.any()


def test_no_hook_stays() -> None:
    backbone = _build().eval()
    backbone(IMAGES, (-1,), embedding=True)
    with pytest.raises(RuntimeError, match="type"):
        backbone(IMAGES[:, :1].repeat(1, 3, 1, 1).double(), embedding=True)
    assert _hooks(backbone) == 0


def test_gradient_flows_through_a_frozen_network_to_its_input() -> None:
    backbone = _build().eval().requires_grad_(False)
    image = IMAGES.clone().requires_grad_()
    output = backbone(image, (-2,), embedding=True)
    (output.logits.sum() + output.features[0].sum() + output.embedding.sum()).backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert not backbone(IMAGES, (-2,), embedding=True).logits.requires_grad


def test_every_answer_carries_a_gradient_to_the_parameters() -> None:
    backbone = _build("test_vit").train()
    output = backbone(IMAGES, (-2,), embedding=True)
    for answer in (output.logits, output.features[0], output.embedding):
        backbone.zero_grad()
        answer.sum().backward(retain_graph=True)
        assert sum(float(p.grad.abs().sum()) for p in backbone.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize("model", ["test_resnet", "test_vit", "levit_128s"])
@pytest.mark.parametrize("embedding", [False, True])
def test_compiles_once(model: str, embedding: bool) -> None:
    """The network is one graph, whatever is asked for, and it is not compiled again for another batch."""
    backbone = _build(model).eval()
    twin = copy.deepcopy(backbone)
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    backbone.compile(backend=keep)
    for batch in (IMAGES, IMAGES.flip(0), 1 - IMAGES):
        found, expected = (each(batch, (-2, -1), embedding=embedding) for each in (backbone, twin))
        assert torch.equal(found.logits, expected.logits)
        assert all(torch.equal(*pair) for pair in zip(found.features, expected.features, strict=True))
        if embedding:
            assert torch.equal(found.embedding, expected.embedding)
    assert len(graphs) == 1
    assert _hooks(backbone) == 0


def test_channels_last_and_autocast() -> None:
    backbone = _build().eval()
    expected = backbone(IMAGES, (-1,), embedding=True)
    backbone.to(memory_format=torch.channels_last)
    images = IMAGES.to(memory_format=torch.channels_last)
    found = backbone(images, (-1,), embedding=True)
    torch.testing.assert_close(found.logits, expected.logits)
    assert found.features[0].is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        low = backbone(images, (-1,), embedding=True)
        assert torch.equal(low.logits, backbone(images).logits)
    assert low.logits.dtype == torch.bfloat16
    torch.testing.assert_close(low.logits.float(), expected.logits, atol=0.1, rtol=0.1)


def test_remembered_biases_follow_the_parameters() -> None:
    """LeViT keeps attention biases in eval mode; an average that is updated in place changes them."""
    backbone = _build("levit_128s").eval()
    with torch.no_grad():
        before = backbone(IMAGES).logits
        for name, parameter in backbone.named_parameters():
            if name.endswith("attention_biases"):
                parameter.normal_()
        after = backbone(IMAGES).logits
        assert not torch.allclose(before, after)
        assert torch.equal(after, copy.deepcopy(backbone).train().eval()(IMAGES).logits)


def test_several_classifiers_cannot_be_borrowed() -> None:
    config = RoleConfig(model="crossvit_9_240")
    backbone = build_backbone(config, num_classes=5, channels=3, img_size=32)
    with pytest.raises(KdzooError, match=r"'crossvit_9_240' adds up 2 classifiers"):
        _ = backbone.classifier
