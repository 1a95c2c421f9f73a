"""Every method with a frozen teacher takes steps on the field's main pair; what is exported is a plain timm model."""

import subprocess
import sys

import pytest
import timm
import torch

import kdzoo
import kdzoo_cifar.networks  # noqa: F401  # registers them with timm
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

ZOO = Zoo()
REGISTRY = load_registry(ZOO)
IN_A_RUN = ("fitnet-two-phase", "ab", "ft", "fsp", "simkd", "crd", "crd-kd")
"""Methods with phases of their own, or that know the training set."""
IMPOSSIBLE = ("vit-attention", "expert-labels")
"""For transformers; without a teacher."""
IN_A_LOOP = [
    name
    for name, method in REGISTRY.methods.items()
    if method.scheme.name == "offline" and method.algorithm.name == "distill" and method.knowledge
    if name not in (*IN_A_RUN, *IMPOSSIBLE)
]


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return timm.create_model("cifar_resnet32x4").eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Weights of a smaller teacher of the same widths for ten classes and grey images."""
    file = tmp_path_factory.mktemp("teacher") / "resnet8x4.pth"
    torch.manual_seed(0)
    torch.save(timm.create_model("cifar_resnet8x4", num_classes=10, in_chans=1).state_dict(), file)
    return file


def test_there_are_methods():
    assert len(IN_A_LOOP) > 25


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(one, marks=[] if number % 5 == 0 else pytest.mark.slow)
        for number, one in enumerate(IN_A_LOOP)
    ],
)
def test_two_steps(method, teacher):
    torch.manual_seed(1)
    student = timm.create_model("cifar_resnet8x4")
    distiller = kdzoo.Distiller(student, teacher, method)
    optimizer = torch.optim.SGD(distiller.parameters(), lr=1e-6)
    before = student.conv1.weight.detach().clone()
    for _ in range(2):
        losses = distiller(torch.randn(4, 3, 32, 32), torch.tensor([1, 2, 3, 1]), progress=0.5)
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
    assert losses["total"].isfinite()
    assert not torch.equal(student.conv1.weight, before)


def run(method, folder, trained, **changes):
    values = {
        "roles.teacher": {"model": "cifar_resnet8x4", "checkpoint": str(trained)},
        "roles.student": "cifar_resnet8x4",
        "data": {
            "dataset": "digits",
            "img_size": 32,
            "train_per_class": 1,
            "test_per_class": 1,
            "batch_size": 5,
        },
        "data.val_fraction": 0.0,
        "observers": [],
        "epochs": 1,
        **changes,
    }
    recipe = resolve(zoo=ZOO, registry=REGISTRY, method=method, layers=[Layer("test", dotted(values))])
    return train(recipe, folder, zoo=ZOO)


@pytest.mark.slow
@pytest.mark.parametrize("method", IN_A_RUN)
def test_a_short_run(method, trained, tmp_path):
    small = {"epochs": 7} if method == "ft" else {"epochs": 2}
    if "crd" in method:
        small["knowledge.negatives" if method == "crd" else "knowledge.crd.negatives"] = 8
    result = run(method, tmp_path / "run", trained, **small)
    assert 0 <= result["test/last"] <= 100


@pytest.mark.slow
def test_an_exported_student_loads_in_plain_timm(trained, tmp_path):
    """In a process that has imported timm and the networks alone."""
    result = run("kd", tmp_path / "run", trained)
    folder = next((tmp_path / "run").rglob("model.safetensors")).parent
    code = f"""
import timm, torch
import kdzoo_cifar.networks
model = timm.create_model({f"local-dir:{folder}"!r}, pretrained=True).eval()
print(type(model).__name__, model.num_classes, model(torch.zeros(1, 1, 32, 32)).sum().item())
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    name, classes, total = found.stdout.split()
    assert (name, classes) == ("ResNet", "10")
    assert result["parameters"] == sum(
        one.numel() for one in timm.create_model("cifar_resnet8x4", num_classes=10, in_chans=1).parameters()
    )
    assert float(total) == float(total)
