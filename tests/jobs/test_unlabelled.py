"""Runs on pictures without labels."""

import json

import pytest
import torch
from PIL import Image

from kdzoo.api import KdzooError
from kdzoo.backbone import build_backbone
from kdzoo.jobs.export import export_student
from kdzoo.jobs.train import train
from kdzoo.jobs.unlabelled import methods_without_labels, why_labels
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.recipe.roles import RoleConfig
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

ZOO = Zoo()
REGISTRY = load_registry(ZOO)
WITHOUT = methods_without_labels(ZOO)
NAMES = tuple(f"class {number}" for number in range(1000))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 255, (30, 32, 32, 3), dtype=torch.uint8, generator=generator)
    for number, one in enumerate(pixels.numpy()):
        Image.fromarray(one).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Folders of exported networks, by model and number of classes."""
    made = {}

    def find(model="test_resnet", number=7):
        if (model, number) not in made:
            torch.manual_seed(0)
            config, names = RoleConfig(model=model), NAMES[:number]
            network = build_backbone(config, num_classes=number, channels=3, img_size=32, label_names=names)
            folder = made[model, number] = tmp_path_factory.mktemp("teachers") / model
            export_student(network, folder, classes=names, card="", image_shape=(3, 32, 32))
        return made[model, number]

    return find


TEACHERS = ("teacher1", "teacher2", "teacher3")


def run(method, pictures, folder, **settings):
    given = {
        "data.data_dir": pictures, "data.batch_size": 12, "data.workers": 0, "observers": [], "epochs": 1,
        "roles.student.model": "test_resnet", **settings,
    }  # fmt: skip
    layers = [Layer("test", dotted(given))]
    recipe = resolve(zoo=ZOO, registry=REGISTRY, method=method, layers=layers, spare=TEACHERS)
    return train(recipe, folder, zoo=ZOO)


@pytest.mark.parametrize("method", WITHOUT)
def test_a_method_that_needs_no_labels_learns_without(method, pictures, teacher, tmp_path):
    small = REGISTRY.methods[method].small
    model = f"local-dir:{teacher(small.get('roles.teacher.model', 'test_resnet'))}"
    settings = {**small, **{f"roles.{role}.model": model for role in ("teacher", *TEACHERS)}}
    result = run(method, pictures, tmp_path / "run", **settings)
    rows = read_journal(tmp_path / "run" / "metrics.jsonl")
    metrics = [row["metrics"] for row in rows if row["event"] == "epoch"][-1]
    assert metrics["train/teach"] > 0
    assert metrics.get("train/task", 0) == 0
    assert "val/accuracy" not in metrics
    assert [result[name] for name in ("test/last", "val/last", "test/ece", "test/macro_f1")] == [None] * 4


def test_the_student_has_the_teacher_s_classes_and_agrees_with_it(pictures, teacher, tmp_path):
    own = f"local-dir:{teacher('test_vit')}"  # it has no batch normalisation, which would drift
    settings = {"roles.teacher.model": own, "roles.student.model": own, "optim.lr": 1e-12}
    assert run("kd", pictures, tmp_path / "run", **settings)["test/agreement"] == 100
    described = json.loads((tmp_path / "run" / "student" / "config.json").read_text())
    assert (described["num_classes"], tuple(described["label_names"])) == (7, NAMES[:7])
    assert json.loads((tmp_path / "run" / "figures.json").read_text())["classes"] == []


def test_the_number_of_classes_is_read_off_a_checkpoint(pictures, teacher, tmp_path):
    weights = teacher() / "model.safetensors"
    settings = {"roles.teacher.model": "test_resnet", "roles.teacher.checkpoint": weights}
    run("kd", pictures, tmp_path / "run", **settings)
    described = json.loads((tmp_path / "run" / "student" / "config.json").read_text())
    assert described["num_classes"] == 7


def test_the_weights_that_timm_has_for_a_teacher_are_used_as_they_are(pictures, teacher, tmp_path):
    folder = teacher("test_vit", 1000)
    overlay = {"pretrained_cfg_overlay": {"file": str(folder / "model.safetensors")}}
    settings = {
        "roles.teacher.model": "test_vit",
        "roles.teacher.pretrained": True,
        "roles.teacher.kwargs": overlay,
        "roles.student.model": f"local-dir:{folder}",
        "data.img_size": 160,  # which the student's folder states
        "optim.lr": 1e-12,
    }
    assert run("kd", pictures, tmp_path / "run", **settings)["test/agreement"] == 100


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("baseline", "without knowledge there is nothing else to learn from"),
        ("dml", r"scheme 'mutual' \(online\) has no teacher that is trained already"),
        ("ard", r"algorithm '\S+' needs them"),
    ],
)
def test_a_method_that_needs_labels_says_why_and_who_needs_none(method, why, pictures, tmp_path):
    said = f"^the training images have no labels, and {why}; methods that need none: kd, funmatch, dkd, "
    with pytest.raises(KdzooError, match=said):
        run(method, pictures, tmp_path / "run", **{"roles.teacher.model": "test_resnet"})
    assert not (tmp_path / "run").exists()


def test_soft_labels_of_a_file_are_labels():
    assert why_labels(REGISTRY.methods["expert-labels"].components, ZOO) == "scheme 'experts' needs them"


def test_a_teacher_without_weights_is_refused(pictures, tmp_path):
    said = "the teacher test_resnet has no weights, and images without labels cannot train it"
    with pytest.raises(KdzooError, match=said):
        run("kd", pictures, tmp_path / "run", **{"roles.teacher.model": "test_resnet"})
