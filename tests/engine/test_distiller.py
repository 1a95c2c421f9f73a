import pytest
import timm
import torch
from torch.nn import functional

import kdzoo
from kdzoo.errors import KdzooError


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return timm.create_model("test_efficientnet", num_classes=4), timm.create_model(
        "test_resnet", num_classes=4
    )


def images() -> torch.Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_its_losses_are_those_of_the_formula(networks):
    student, teacher = networks
    distiller = kdzoo.Distiller(student, teacher, method="kd", settings={"knowledge.temperature": 2.0})
    target = torch.arange(8) % 4
    student.eval()
    losses = distiller(images(), target)
    s, t = student(images()), teacher(images()).detach()
    task = functional.cross_entropy(s, target)
    teach = functional.kl_div((s / 2).log_softmax(1), (t / 2).softmax(1), reduction="batchmean") * 4
    torch.testing.assert_close(losses["task"], task)
    torch.testing.assert_close(losses["teach"], teach)
    torch.testing.assert_close(losses["total"], 0.1 * task + 0.9 * teach)


def test_its_parameters_are_the_students_and_the_connectors(networks):
    student, teacher = networks
    distiller = kdzoo.Distiller(student, teacher, method="fitnet", example=images())
    own = {id(one) for one in distiller.parameters()}
    connectors = list(distiller.connectors.parameters())
    assert connectors
    assert own == {id(one) for one in [*student.parameters(), *connectors]}
    assert not own & {id(one) for one in teacher.parameters()}


def test_a_loop_around_it_teaches(networks):
    student, teacher = networks
    distiller = kdzoo.Distiller(student, teacher, method="kd", example=images())
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=3e-3)
    student.train()
    seen = []
    for _ in range(15):
        losses = distiller(images())
        optimizer.zero_grad()
        losses["teach"].backward()
        optimizer.step()
        seen.append(float(losses["teach"].detach()))
    assert seen[-1] < seen[0] / 2
    assert not teacher.training
    assert student.training


def test_the_users_frozen_layers_stay_frozen(networks):
    student, teacher = networks
    student.conv_stem.weight.requires_grad_(False)
    kdzoo.Distiller(student, teacher, method="kd")
    assert not student.conv_stem.weight.requires_grad
    assert student.classifier.weight.requires_grad


def test_what_it_cannot_do_is_refused(networks):
    student, teacher = networks
    with pytest.raises(KdzooError, match=r"'mutual'.*run this method with kdzoo distill"):
        kdzoo.Distiller(student, teacher, method="dml")
    with pytest.raises(KdzooError, match="4 classes, the teacher has 5"):
        kdzoo.Distiller(student, timm.create_model("test_resnet", num_classes=5), method="kd")
    with pytest.raises(KdzooError, match="unknown method 'dkdd'"):
        kdzoo.Distiller(student, teacher, method="dkdd")
