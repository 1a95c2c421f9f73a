"""Weights come from any usual file, or are refused with what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kdzoo.backbone import Backbone, build_backbone
from kdzoo.engine.weights import load_weights, weights_hash
from kdzoo.errors import KdzooError
from kdzoo.jobs.export import export_student
from kdzoo.recipe.roles import RoleConfig

CLASSES = ("cat", "dog", "eel")
State = dict[str, Tensor]


def _build(
    model: str = "test_resnet", classes: tuple[str, ...] = CLASSES, seed: int = 0, **config: Any
) -> Backbone:
    torch.manual_seed(seed)
    role = RoleConfig(model=model, **config)
    return build_backbone(role, num_classes=len(classes), channels=3, img_size=32, label_names=classes)


def _prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


LAYOUTS: dict[str, Callable[[Backbone], Any]] = {
    "plain": lambda b: b.model.state_dict(),
    "backbone": lambda b: b.state_dict(),
    "timm": lambda b: {"state_dict": b.model.state_dict(), "epoch": 3, "arch": "test_resnet"},
    "model": lambda b: {"model": b.model.state_dict(), "optimizer": {"state": {}}},
    "nested": lambda b: {"model": {"state_dict": b.model.state_dict()}},
    "parallel": lambda b: {"state_dict": _prefixed(b.model.state_dict(), "module.")},
    "compiled": lambda b: _prefixed(b.state_dict(), "module._orig_mod."),
}


FLAT = ("plain", "backbone", "compiled")
"""safetensors holds tensors by name and nothing around them."""


@pytest.mark.parametrize(
    ("layout", "suffix"), [*((each, ".pth") for each in LAYOUTS), *((each, ".safetensors") for each in FLAT)]
)
def test_layouts(tmp_path: Path, layout: str, suffix: str) -> None:
    source, target = _build(), _build(seed=1)
    path = tmp_path / f"weights{suffix}"
    content = LAYOUTS[layout](source)
    if suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    assert weights_hash(source) != weights_hash(target)
    load_weights(target, path)
    assert weights_hash(source) == weights_hash(target)


def test_exported_folder(tmp_path: Path) -> None:
    source, target = _build(), _build(seed=1)
    export_student(source, tmp_path / "student", classes=CLASSES, card="")
    load_weights(target, tmp_path / "student")
    assert weights_hash(source) == weights_hash(target)
    with pytest.raises(KdzooError, match=r"its class 1 is 'dog', the data's is 'fox'"):
        load_weights(_build(classes=("cat", "fox", "eel")), tmp_path / "student")
    load_weights(_build(classes=("cat", "fox", "eel")), tmp_path / "student" / "model.safetensors")


def test_answers_change_with_the_weights(tmp_path: Path) -> None:
    """Also those of models that remember what they computed in eval mode."""
    source, target = (_build("levit_128s", seed=seed).eval() for seed in (0, 1))
    images = torch.rand(2, 3, 32, 32)
    save_file(source.model.state_dict(), tmp_path / "weights.safetensors")
    with torch.no_grad():
        target(images)
        load_weights(target, tmp_path / "weights.safetensors")
        assert torch.equal(target(images).logits, source(images).logits)


def _refusal(path: Path, backbone: Backbone | None = None) -> str:
    with pytest.raises(KdzooError) as refused:
        load_weights(backbone or _build(), path)
    message = str(refused.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such file" in _refusal(tmp_path / "gone.safetensors")
    assert "model.safetensors: no such file" in _refusal(tmp_path)


def test_unknown_kind(tmp_path: Path) -> None:
    (tmp_path / "weights.onnx").write_bytes(b"x")
    assert "expected .safetensors, .pth or .pt" in _refusal(tmp_path / "weights.onnx")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_corrupt(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    state = _build().model.state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    whole = path.read_bytes()
    random = torch.Generator().manual_seed(0)
    noise = bytes(torch.randint(256, (1000,), generator=random).tolist())
    for damaged in (
        whole[: len(whole) // 2],
        whole[:20],
        b"",
        noise,
        b"not weights at all\n",
        b"\x80\x02" + noise,
    ):
        path.write_bytes(damaged)
        message = _refusal(path)
        assert "corrupt" in message or "cannot be read" in message


class Unsafe:
    """Something that only code could bring back."""


def test_more_than_tensors(tmp_path: Path) -> None:
    torch.save({"state_dict": _build().model.state_dict(), "args": Unsafe()}, tmp_path / "weights.pth")
    assert "holds more than tensors" in _refusal(tmp_path / "weights.pth")


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {}, {"state_dict": {"a": 1}}])
def test_no_state_dict(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pth")
    assert "holds no state dict" in _refusal(tmp_path / "weights.pth")


def test_other_class_count(tmp_path: Path) -> None:
    torch.save(_build(classes=("a", "b")).model.state_dict(), tmp_path / "weights.pth")
    assert "'test_resnet' with 2 classes; the data has 3" in _refusal(tmp_path / "weights.pth")


def test_other_model(tmp_path: Path) -> None:
    torch.save(_build("test_vit").model.state_dict(), tmp_path / "weights.pth")
    message = _refusal(tmp_path / "weights.pth")
    assert "does not fit model 'test_resnet'" in message
    assert "missing: conv1.0.weight, " in message
    assert "not expected: cls_token, pos_embed" in message
    assert "more" in message


def test_other_size(tmp_path: Path) -> None:
    torch.save(_build("test_vit3", img_size=64).model.state_dict(), tmp_path / "weights.pth")
    message = _refusal(tmp_path / "weights.pth", _build("test_vit3", img_size=32))
    assert "other shapes: pos_embed (1, 17, 96) for (1, 5, 96)" in message


def test_refused_weights_change_nothing(tmp_path: Path) -> None:
    target = _build()
    before = weights_hash(target)
    torch.save(_build("test_vit").model.state_dict(), tmp_path / "weights.pth")
    _refusal(tmp_path / "weights.pth", target)
    assert weights_hash(target) == before


def test_hash_tells_names_dtypes_shapes_and_bytes_apart() -> None:
    def hashed(name: str, tensor: Tensor) -> str:
        module = nn.Module()
        module.register_buffer(name, tensor)
        return weights_hash(module)

    zeros = torch.zeros(2, 3)
    different = [
        hashed("a", zeros),
        hashed("b", zeros),
        hashed("a", zeros.T),
        hashed("a", zeros.int()),
        hashed("a", zeros.bfloat16()),
        hashed("a", zeros + torch.eye(2, 3) * 1e-30),
        hashed("a", torch.tensor(0.0)),
    ]
    assert len(set(different)) == len(different)
    assert hashed("a", zeros.clone()) == hashed("a", torch.zeros(3, 2).T) == different[0]


def test_hash_does_not_depend_on_the_memory_format() -> None:
    backbone = _build()
    before = weights_hash(backbone)
    assert weights_hash(backbone.to(memory_format=torch.channels_last)) == before
    assert weights_hash(_build()) == before
    assert weights_hash(_build(seed=1)) != before
