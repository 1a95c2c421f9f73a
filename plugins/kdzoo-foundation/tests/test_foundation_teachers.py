"""Any teacher of timm teaches any student its features, and no layer is named."""

from __future__ import annotations

import pytest
import timm
import torch

from kdzoo.api import Backbone, Batch
from kdzoo_foundation.features import Features

SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3}
TEACHERS = {
    "test_vit": ({}, 32),  # a class token
    "test_vit3": ({}, 32),  # none
    "deit_tiny_distilled_patch16_224": (SMALL, 32),  # two prefix tokens
    "deit3_small_patch16_224": (SMALL, 32),
    "vit_small_patch14_reg4_dinov2": (SMALL, 28),  # registers
    "vit_small_patch14_dinov2": (SMALL, 28),
    "vit_small_patch16_dinov3": (SMALL, 32),  # rotary positions
    "vit_base_patch16_siglip_224": (SMALL, 32),  # attention pooling
    "vit_base_patch16_clip_224": (SMALL, 32),
    "eva02_tiny_patch14_224": (SMALL, 28),
    "beit_base_patch16_224": (SMALL, 32),
    "cait_xxs24_224": ({"depth": 2}, 32),  # its class token comes late
    "test_convnext": ({}, None),
    "swin_tiny_patch4_window7_224": ({"depths": [1, 1, 1, 1], "embed_dim": 24}, 64),  # channels last
    "test_maxvit": ({}, 64),  # a hybrid
    "test_coatnet": ({}, 64),
    "test_efficientnet": ({}, None),
    "mobilenetv3_small_050": ({}, None),  # layers between pooling and classifier
    "test_resnet": ({}, None),
    "mixer_s32_224": ({}, 64),
}
STUDENTS = ("test_efficientnet", "mobilenetv3_small_050", "test_vit")


def network(name: str, **kwargs: object) -> Backbone:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0, **kwargs)
    size = kwargs.get("img_size") or 64
    return Backbone(model, input_size=(size, size))


@pytest.fixture(scope="module")
def students() -> dict[str, Backbone]:
    return {name: network(name, **({"img_size": 32} if "vit" in name else {})) for name in STUDENTS}


@pytest.mark.parametrize("name", TEACHERS)
def test_two_steps_of_features(name: str, students: dict[str, Backbone]) -> None:
    kwargs, size = TEACHERS[name]
    teacher = network(name, **kwargs, **({"img_size": size} if size else {})).eval().requires_grad_(False)
    before = {key: one.clone() for key, one in teacher.state_dict().items()}
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    batch = Batch(torch.arange(4), {"image": images})
    with torch.no_grad():
        theirs = teacher(images, (0,), embedding=True)
        normalised = teacher.prepare(images)
        pooled = teacher.model.forward_head(teacher.model.forward_features(normalised), pre_logits=True)
    assert torch.equal(theirs.embedded, pooled.flatten(1))
    for student in students.values():
        knowledge = Features(dense=1.0)
        with torch.no_grad():
            knowledge.build(student.eval()(images, (0,), embedding=True), theirs, None)
        student.train()
        optimizer = torch.optim.SGD([*student.parameters(), *knowledge.parameters()], lr=1e-3)
        for _ in range(2):
            optimizer.zero_grad()
            loss = knowledge(student(images, (0,), embedding=True), theirs, batch).mean()
            loss.backward()
            optimizer.step()
        assert torch.isfinite(loss)
        assert all(one.grad.abs().sum() > 0 for one in knowledge.parameters())
    assert all(torch.equal(one, before[key]) for key, one in teacher.state_dict().items())
