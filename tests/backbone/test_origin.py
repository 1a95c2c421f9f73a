"""Weights as people have them give the numbers of plain timm, whatever their file and their classes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from timm.models import save_for_hf
from torch import Tensor, nn

from kdzoo.backbone import Backbone, build_backbone
from kdzoo.backbone.adapt import keep_classes, load_origin
from kdzoo.backbone.origin import origin_of
from kdzoo.engine.use import teacher_use
from kdzoo.engine.weights import load_weights
from kdzoo.errors import KdzooError
from kdzoo.recipe.roles import RoleConfig

CLASSES = ("cat", "dog", "eel")
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
State = dict[str, Tensor]


def _timm(model: str = "test_resnet", classes: int = 5, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    made = timm.create_model(model, num_classes=classes)
    for name, one in made.named_buffers():  # statistics other than the initial ones
        if one.is_floating_point() and "running" in name:
            one.uniform_(0.5, 1.5)
    return made.eval()


def _prefixed(state: State, *prefixes: str) -> State:
    return {prefix + key: value for prefix in prefixes for key, value in state.items()}


def _noise(state: State) -> State:
    return {key: torch.full_like(value, 0.5) for key, value in state.items()}


FILES: dict[str, Callable[[State], Any]] = {
    "plain": lambda s: s,
    "module": lambda s: _prefixed(s, "module."),
    "model": lambda s: _prefixed(s, "model."),
    "backbone": lambda s: _prefixed(s, "backbone."),
    "encoder": lambda s: _prefixed(s, "encoder."),
    "parallel student": lambda s: {"student": _prefixed(s, "module.student.")},
    "both": lambda s: {**_prefixed(_noise(s), "student.backbone."), **_prefixed(s, "teacher.backbone.")},
    "DINO": lambda s: {
        "student": _prefixed(_noise(s), "module.backbone."),
        "teacher": {**_prefixed(s, "backbone."), "head.mlp.0.weight": torch.ones(2, 2)},
        "epoch": 3,
    },
    "timm's train.py": lambda s: {
        "state_dict": s,
        "arch": "test_resnet",
        "args": argparse.Namespace(model="test_resnet", lr=0.1),
        "epoch": 3,
        "version": 2,
        "optimizer": {"state": {}, "param_groups": []},
        "metric": 71.2,
    },
    "timm's average": lambda s: {
        "state_dict": _noise(s),
        "state_dict_ema": _prefixed(s, "module."),
        "args": argparse.Namespace(),
    },
    "Lightning": lambda s: {
        "state_dict": {**_prefixed(s, "model."), "criterion.weight": torch.ones(3)},
        "pytorch-lightning_version": "2.4",
        "hyper_parameters": {"lr": 0.1},
    },
    "MoCo": lambda s: {"state_dict": {**_prefixed(s, "module.encoder_q."), "module.queue": torch.ones(2, 4)}},
    "an old file": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
}


def _load(path: Path, classes: int, **config: Any) -> Backbone:
    role = RoleConfig(**{"model": "test_resnet", "weights": str(path), **config})
    origin = origin_of(role)
    assert origin is not None
    backbone = build_backbone(
        role.model_copy(update={"model": origin.model}), num_classes=classes, channels=3, img_size=64
    )
    load_origin(backbone, origin, head=classes == origin.num_classes != 0)
    return backbone.eval()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", FILES)
def test_files(tmp_path: Path, kind: str, suffix: str) -> None:
    source = _timm()
    content = FILES[kind](source.state_dict())
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(content, path)
    elif all(isinstance(one, Tensor) for one in content.values()):
        save_file({key: one.clone() for key, one in content.items()}, path)
    else:
        pytest.skip("safetensors holds tensors by name alone")
    origin = origin_of(RoleConfig(model="test_resnet", weights=str(path)))
    assert origin is not None
    assert (origin.num_classes, origin.label_names) == (5, None)
    with torch.no_grad():
        whole, headless, renewed = (_load(path, classes) for classes in (5, 0, 3))
        images = whole.prepare(IMAGES)
        assert torch.equal(whole(IMAGES).logits, source(images))
        pooled = source.forward_head(source.forward_features(images), pre_logits=True)
        assert torch.equal(headless(IMAGES, embedding=True).embedding, pooled)
        assert torch.equal(renewed(IMAGES, embedding=True).embedding, pooled)
        assert renewed(IMAGES).logits.shape == (2, 3)


@pytest.mark.parametrize("suffix", [".pth.tar", ".ckpt", ".bin"])
def test_usual_endings(tmp_path: Path, suffix: str) -> None:
    torch.save({"state_dict": _timm().state_dict()}, tmp_path / f"model_best{suffix}")
    assert _load(tmp_path / f"model_best{suffix}", 5).num_classes == 5


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    torch.save({"state_dict": _timm().state_dict(), "args": Path("x")}, tmp_path / "weights.pth")
    with pytest.raises(KdzooError, match="holds more than tensors"):
        _load(tmp_path / "weights.pth", 5)


def test_torchvision_names_its_resnets_as_timm(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = torchvision.models.resnet18(num_classes=5).eval()
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    backbone = _load(tmp_path / "resnet18.pth", 5, model="resnet18")
    with torch.no_grad():
        torch.testing.assert_close(backbone(IMAGES).logits, source(backbone.prepare(IMAGES)))


def test_a_head_with_a_norm_of_the_body(tmp_path: Path) -> None:
    """ConvNeXt's ``head.norm`` stays, its ``head.fc`` goes."""
    source = _timm("test_convnext")
    nn.init.uniform_(source.head.norm.weight, 0.5, 1.5)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    headless = _load(tmp_path / "weights.pth", 0, model="test_convnext")
    with torch.no_grad():
        images = headless.prepare(IMAGES)
        pooled = source.forward_head(source.forward_features(images), pre_logits=True)
        assert torch.equal(headless(IMAGES).embedding, pooled)


def test_another_body_is_refused_by_name(tmp_path: Path) -> None:
    torch.save(_timm("test_vit").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(KdzooError, match=r"does not fit model 'test_resnet' .*missing: conv1\.0\.weight"):
        _load(tmp_path / "weights.pth", 0)


def _folder(path: Path, names: tuple[str, ...] | None = CLASSES, **config: Any) -> Any:
    source = _timm(classes=len(names) if names else 0)
    described = {"label_names": list(names)} if names else {}
    data = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": (3, 48, 48), **config}
    save_for_hf(
        source, str(path), model_config={**described, "pretrained_cfg": data}, safe_serialization=True
    )
    return source


def test_a_folder_says_how_its_network_sees_images(tmp_path: Path) -> None:
    """With ``weights`` and with ``checkpoint``, as a model and as timm's own transforms have it."""
    source = _folder(tmp_path / "saved")
    images = torch.nn.functional.interpolate(IMAGES, (48, 48), mode="bicubic", antialias=True).clamp(0, 1)
    with torch.no_grad():
        expected = source((images - 0.5) / 0.5)
        for given in (str(tmp_path / "saved"), f"local-dir:{tmp_path / 'saved'}"):
            torch.testing.assert_close(_load(Path(given), 3)(IMAGES).logits, expected)
        backbone = build_backbone(
            RoleConfig(model="test_resnet"), num_classes=3, channels=3, img_size=64, label_names=CLASSES
        )
        load_weights(backbone, tmp_path / "saved")
        torch.testing.assert_close(backbone.eval()(IMAGES).logits, expected)
    assert backbone.input_size == (48, 48)


def test_the_role_says_it_before_the_folder(tmp_path: Path) -> None:
    _folder(tmp_path / "saved")
    backbone = _load(tmp_path / "saved", 3, mean="0.1, 0.2, 0.3", std=0.25)
    assert backbone.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert backbone.std.flatten().tolist() == [0.25] * 3
    with pytest.raises(KdzooError, match="mean has 2 numbers"):
        _load(tmp_path / "saved", 3, mean=(0.1, 0.2))


def test_a_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    _folder(tmp_path / "saved")
    with pytest.raises(KdzooError, match="of model 'test_resnet', and the role's is 'test_vit'"):
        origin_of(RoleConfig(model="test_vit", weights=str(tmp_path / "saved")))


@pytest.mark.parametrize("content", ["{", "[]", '{"num_classes": "3"}', '{"label_names": 3}', "[" * 9000])
def test_a_damaged_description_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    _folder(tmp_path / "saved")
    (tmp_path / "saved" / "config.json").write_text(content)
    with pytest.raises(KdzooError, match=r"config\.json: not an exported model's description") as refused:
        origin_of(RoleConfig(model="test_resnet", weights=str(tmp_path / "saved")))
    assert "\n" not in str(refused.value)


def test_classes_are_found_by_name(tmp_path: Path) -> None:
    """Permuted, and some of many: the logits are the rows of timm's that have these names."""
    source = _folder(tmp_path / "saved", ("eel", "fox", "cat", "dog"), input_size=(3, 64, 64))
    for classes, rows in ((("cat", "dog", "eel", "fox"), [2, 3, 0, 1]), (("dog", "eel"), [3, 0])):
        origin = origin_of(RoleConfig(model="test_resnet", weights=str(tmp_path / "saved")))
        assert origin is not None
        assert origin.rows_for(classes, by_number=False) == rows
        backbone = _load(tmp_path / "saved", 4)
        keep_classes(backbone, rows, classes)
        with torch.no_grad():
            expected = source((IMAGES - 0.5) / 0.5)[:, rows]
            torch.testing.assert_close(backbone(IMAGES).logits, expected)
        assert (backbone.num_classes, backbone.label_names) == (len(classes), classes)
        assert backbone.classifier.weight.shape[0] == len(classes)


def test_imagenet_is_known_by_its_synsets(tmp_path: Path) -> None:
    torch.save(_timm(classes=1000).state_dict(), tmp_path / "weights.pth")
    origin = origin_of(RoleConfig(model="test_resnet", weights=str(tmp_path / "weights.pth")))
    assert origin is not None
    names = ImageNetInfo().label_names()
    assert origin.rows_for(names[::-1], by_number=False) == list(range(999, -1, -1))
    assert origin.rows_for([names[7], names[3]], by_number=False) == [7, 3]
    assert origin.rows_for(["cat", names[3]], by_number=False) is None


def test_a_distilled_transformer_has_two_heads_to_cut(tmp_path: Path) -> None:
    kwargs = {"depth": 1, "embed_dim": 48, "img_size": 32}
    torch.manual_seed(0)
    source = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=4, **kwargs).eval()
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    role = {
        "model": "deit_tiny_distilled_patch16_224",
        "kwargs": {"depth": 1, "embed_dim": 48},
        "img_size": 32,
    }
    backbone = _load(tmp_path / "weights.pth", 4, **role)
    keep_classes(backbone, [3, 1], ("a", "b"))
    with torch.no_grad():
        images = backbone.prepare(IMAGES)
        torch.testing.assert_close(backbone(IMAGES).logits, source(images)[:, [3, 1]])


def _use(path: Path, classes: tuple[str, ...], *, reads_logits: bool = True, **config: Any) -> Any:
    role = RoleConfig(model="test_resnet", weights=str(path), **config)
    origin = origin_of(role)
    assert origin is not None
    return teacher_use("teacher", role, origin, classes, reads_logits=reads_logits)


def test_a_teacher_is_trained_only_where_the_method_needs_it(tmp_path: Path) -> None:
    _folder(tmp_path / "saved", ("eel", "fox", "cat"))
    known, cut, other = ("eel", "fox", "cat"), ("cat", "eel"), ("ant", "bee")
    path = tmp_path / "saved"
    assert (_use(path, known).num_classes, _use(path, known).train, _use(path, known).note) == (3, None, "")
    one = _use(path, cut)
    assert (one.num_classes, list(one.rows), one.train) == (3, [2, 0], None)
    assert "its logits are cut to 2 of 3" in one.note
    one = _use(path, other)
    assert (one.num_classes, one.train) == (2, "head")
    assert (
        "for 3 classes, 'ant' is not among them, and the data has 2; the method reads its logits" in one.note
    )
    one = _use(path, other, reads_logits=False)
    assert (one.num_classes, one.train) == (0, None)
    assert "used without a classifier" in one.note
    assert _use(path, known, head=False).num_classes == 0
    assert _use(path, other, train="full").train == "full"
    assert _use(path, (), reads_logits=False).num_classes == 0
    assert _use(path, (), reads_logits=True).num_classes == 3, "its own classes"
    assert _use(path, (), head=True).num_classes == 3
    with pytest.raises(KdzooError, match=r"train=never: its weights are for 3 classes.*--teacher-train head"):
        _use(path, other, train="never")
    with pytest.raises(KdzooError, match="no classes to train it for"):
        _use(path, (), train="head")


def test_names_that_the_user_knows(tmp_path: Path) -> None:
    torch.save(_timm(classes=3).state_dict(), tmp_path / "weights.pth")
    one = _use(tmp_path / "weights.pth", CLASSES, label_names=CLASSES[::-1])
    assert list(one.rows) == [2, 1, 0]
    with pytest.raises(KdzooError, match=r"label_names has 2 names; the classifier in .* has 3"):
        _use(tmp_path / "weights.pth", CLASSES, label_names=("a", "b"))


def test_a_network_without_a_classifier_is_exported_and_loaded_with_a_new_one(tmp_path: Path) -> None:
    from kdzoo.jobs.export import export_student

    backbone = build_backbone(RoleConfig(model="test_vit"), num_classes=0, channels=3, img_size=32).eval()
    export_student(backbone, tmp_path / "student", classes=(), card="# Features")
    described = json.loads((tmp_path / "student" / "config.json").read_text())
    assert described["num_classes"] == 0
    assert "label_names" not in described
    name = f"local-dir:{tmp_path / 'student'}"
    plain = timm.create_model(name, pretrained=True, num_classes=0).eval()
    headed = timm.create_model(name, pretrained=True, num_classes=7).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        ours, prepared = backbone(images).embedding, backbone.prepare(images)
        assert torch.equal(plain(prepared), ours)
        assert torch.equal(headed.forward_head(headed.forward_features(prepared), pre_logits=True), ours)
    assert headed(prepared).shape == (2, 7)
    readme = (tmp_path / "student" / "README.md").read_text()
    assert "image-feature-extraction" in readme
    assert "num_classes=0" in readme
