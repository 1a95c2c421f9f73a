"""The bridge to ``timm.task``: our methods in timm's loops, timm's tasks in our runs, with equal losses."""

import copy
import json

import pytest
import timm
import torch
from timm.task import FeatureDistillationTask, LogitDistillationTask

import kdzoo
from kdzoo.api import KdzooError
from kdzoo.cli.flags import layer
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.teacher import with_random_teachers
from kdzoo.zoo import Zoo


def networks():
    torch.manual_seed(0)
    student = timm.create_model("test_efficientnet", num_classes=4)
    teacher = timm.create_model("test_resnet", num_classes=4)
    teacher.pretrained_cfg = {**teacher.pretrained_cfg, "mean": (0.2, 0.3, 0.4), "std": (0.5, 0.6, 0.7)}
    return student, teacher


def batch(number=0):
    generator = torch.Generator().manual_seed(number)
    return torch.randn(8, 3, 32, 32, generator=generator), torch.randint(0, 4, (8,), generator=generator)


def test_kd_as_a_task_has_the_losses_of_timms_own():
    student, teacher = networks()
    theirs = LogitDistillationTask(
        copy.deepcopy(student), copy.deepcopy(teacher), distill_loss_weight=0.9, task_loss_weight=0.1,
        temperature=4.0, verbose=False,
    ).train()  # fmt: skip
    ours = kdzoo.MethodTask(student, teacher, "kd", example=batch()[0]).train()
    networks_ = [task.get_trainable_module() for task in (ours, theirs)]
    optimizer = torch.optim.SGD(networks_[1].parameters(), lr=0.01)
    for step in range(3):
        # From the same weights in each step: BatchNorm over one pixel of eight images blows up what is rounded.
        networks_[0].load_state_dict(networks_[1].state_dict())
        results = [task(*batch(step)) for task in (ours, theirs)]
        for key in ("loss", "task_loss", "kd_loss", "output"):
            assert torch.allclose(results[0][key], results[1][key], rtol=1e-4, atol=1e-6), (step, key)
        gradients = []
        for network, result in zip(networks_, results, strict=True):
            network.zero_grad()
            result["loss"].backward()
            gradients.append(torch.cat([one.grad.flatten() for one in network.parameters()]))
        assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[1].norm()
        optimizer.step()
    assert not teacher.training
    assert all(one.grad is None for one in teacher.parameters())


def test_a_task_trains_the_connectors_of_its_method_and_nothing_of_the_teacher():
    student, teacher = networks()
    task = kdzoo.MethodTask(student, teacher, "fitnet", example=batch()[0], steps=10)
    assert task.distiller.connectors.state_dict()
    trained = {id(one) for one in task.parameters() if one.requires_grad}
    assert {id(one) for one in task.distiller.connectors.parameters()} <= trained
    assert not {id(one) for one in teacher.parameters()} & trained
    task.train()(*batch())["loss"].backward()
    assert all(one.grad is not None for one in task.distiller.connectors.parameters())
    assert task.step == 1
    task.eval()(*batch())
    assert task.step == 1
    task.set_step(7)
    assert task.step == 7


def test_several_processes_are_refused():
    task = kdzoo.MethodTask(*networks(), "kd", example=batch()[0])
    with pytest.raises(KdzooError, match="one process"):
        task.prepare_distributed()


def test_a_task_of_timms_trains_in_a_run(small_recipe, tmp_path):
    settings = {
        "algorithm": {
            "name": "timm-task",
            "task": "timm.task:LogitDistillationTask",
            "arguments": {"distill_loss_weight": 0.9, "task_loss_weight": 0.1, "temperature": 4.0},
        }
    }
    theirs = train(small_recipe("kd", epochs=2, **settings), tmp_path / "timm", zoo=Zoo())
    ours = train(small_recipe("kd", epochs=2), tmp_path / "kd", zoo=Zoo())

    def losses(folder):
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [row["metrics"] for row in rows if row["event"] == "epoch"]

    for one, other in zip(losses(tmp_path / "timm"), losses(tmp_path / "kd"), strict=True):
        assert one["train/task_loss"] == pytest.approx(other["train/task"], rel=1e-3)
        assert one["train/kd_loss"] == pytest.approx(other["train/teach"], rel=1e-3)
    assert theirs["test/teacher"] == ours["test/teacher"]


def test_what_a_task_trains_beside_the_student_is_a_role(small_recipe, tmp_path, monkeypatch):
    made = []

    class Remembered(FeatureDistillationTask):
        def __init__(self, **given):
            super().__init__(**given)
            made.append({name: one.detach().clone() for name, one in self.named_parameters()})
            made.append(dict(self.named_parameters()))

    monkeypatch.setattr("timm.task.Remembered", Remembered, raising=False)
    settings = {"algorithm": {"name": "timm-task", "task": "timm.task:Remembered"}}
    train(small_recipe("kd", epochs=1, **settings), tmp_path / "run", zoo=Zoo())
    before, after = made
    projection = [name for name in after if "projection" in name]
    assert projection
    assert all(not torch.equal(before[name], after[name]) for name in projection)
    assert all(torch.equal(before[name], after[name]) for name in after if name.startswith("teacher"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"task": "timm.task:NoTask"}, "is not there"),
        ({"task": "nothing"}, "is not there"),
        ({"arguments": {"temprature": 1.0}}, "temprature"),
        ({"task": "builtins:dict"}, "which is no task"),
    ],
)
def test_what_is_no_task_is_refused_in_a_line(small_recipe, tmp_path, settings, says):
    recipe = small_recipe("kd", epochs=1, algorithm={"name": "timm-task", **settings})
    with pytest.raises(KdzooError, match=says):
        train(recipe, tmp_path / "run", zoo=Zoo())


@pytest.mark.parametrize("said", ["timm-task", {"name": "timm-task"}])
def test_a_task_gets_the_teacher_that_the_recipe_names_without_a_knowledge(said, tmp_path):
    taught = recipe_of(said, teacher="test_resnet")
    assert taught.knowledge == ()
    assert taught.roles["teacher"].model == "test_resnet"
    result = train(with_random_teachers(taught), tmp_path / "run", zoo=Zoo())
    assert result["test/teacher"] >= 0


def recipe_of(algorithm, **flags):
    zoo = Zoo()
    small = {"epochs": 1, "train_per_class": 2, "test_per_class": 2, "batch_size": 8, "val_fraction": 0.0}
    layers = [*layer(student="test_efficientnet", **small, **flags)]
    layers.append(Layer("test", {"algorithm": algorithm, "observers": []}))
    return resolve(zoo=zoo, registry=load_registry(zoo), method="baseline", layers=layers)
