"""The files of examples/loops in other people's loops; those whose library is missing, with a stand-in for it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import timm
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, TensorDataset

import kdzoo

FOLDER = Path(__file__).parents[2] / "examples" / "loops"


def load(name):
    spec = importlib.util.spec_from_file_location(f"loops_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def networks():
    torch.manual_seed(0)
    return timm.create_model("test_efficientnet", num_classes=4), timm.create_model(
        "test_resnet", num_classes=4
    )


def images(number=16):
    draw = torch.Generator().manual_seed(1)
    return TensorDataset(torch.randn(number, 3, 32, 32, generator=draw), torch.arange(number) % 4)


class Interrupted(DataLoader):
    """Gives so many batches, then somebody presses Ctrl-C."""

    left = 5

    def __iter__(self):
        for batch in super().__iter__():
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield batch


def test_a_plain_loop_learns_and_goes_on_where_it_stopped(tmp_path):
    train, file = load("plain").train, tmp_path / "parts.pt"
    whole = train(*networks(), DataLoader(images(), 8), method="fitnet", epochs=4, file=tmp_path / "whole.pt")
    assert whole[-1] < whole[0]
    with pytest.raises(KeyboardInterrupt):  # in the third epoch, of two batches; one more was the example
        train(*networks(), Interrupted(images(), 8), method="fitnet", epochs=4, file=file)
    assert len(torch.load(file, weights_only=True)["history"]) == 2
    assert train(*networks(), DataLoader(images(), 8), method="fitnet", epochs=4, file=file) == whole


def test_fabric():
    losses = load("fabric").train(
        Fabric(accelerator="cpu", devices=1), *networks(), DataLoader(images(), 8), epochs=6
    )
    assert sum(losses[-2:]) < sum(losses[:2])


def test_the_loop_of_timms_script():
    batches = list(DataLoader(images(), 8))
    means = load("timm_train").train(*networks(), batches, method="fitnet", epochs=4)
    assert means[-1] < means[0]


class _LightningModule(torch.nn.Module):
    """As much of Lightning's as the example uses."""

    global_step = 0

    def log(self, name, value, **more):
        self.logged = {**getattr(self, "logged", {}), name: float(value)}

    def log_dict(self, values):
        for name, value in values.items():
            self.log(name, value)


@pytest.fixture
def lightning(monkeypatch):
    """A stand-in with the trainer's calls in their order, where Lightning is not installed."""
    stand_in = ModuleType("lightning")
    stand_in.LightningModule = _LightningModule
    monkeypatch.setitem(sys.modules, "lightning", stand_in)


def test_a_lightning_module_in_the_trainers_calls(lightning):
    student, teacher = networks()
    module = load("lightning_module").Distilled(student, teacher, "fitnet", example=images()[:2][0])
    module.trainer = SimpleNamespace(estimated_stepping_batches=12)
    optimizer = module.configure_optimizers()
    assert {id(one) for one in module.parameters()} == {
        id(one) for one in optimizer.param_groups[0]["params"]
    }
    losses = []
    for _ in range(6):
        module.train()
        for number, batch in enumerate(DataLoader(images(), 8)):
            loss = module.training_step(batch, number)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            module.global_step += 1
            losses.append(float(loss.detach()))
        module.eval()
        with torch.no_grad():
            module.validation_step(batch, 0)
    assert sum(losses[-2:]) < sum(losses[:2])
    assert set(module.logged) == {"train/task", "train/teach", "train/total", "val/accuracy"}
    again = load("lightning_module").Distilled(*networks(), "fitnet", example=images()[:2][0])
    again.load_state_dict(module.state_dict())


def test_a_lightning_trainer(tmp_path):
    lightning = pytest.importorskip("lightning", reason="lightning is not installed; a stand-in is tested")
    module = load("lightning_module").Distilled(*networks(), "fitnet", example=images()[:2][0])
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(module, DataLoader(images(), 8), DataLoader(images(), 8))
    assert trainer.callback_metrics["train/total"] > 0


class _Trainer:
    """As much of transformers' Trainer as ``compute_loss`` meets."""

    def __init__(self, model):
        self.model = model
        self.state = SimpleNamespace(global_step=0, max_steps=12)


def test_a_trainer_of_transformers_in_its_calls(monkeypatch):
    stand_in = ModuleType("transformers")
    stand_in.Trainer = _Trainer
    monkeypatch.setitem(sys.modules, "transformers", stand_in)
    student, teacher = networks()
    distiller = kdzoo.Distiller(student, teacher, "kd", example=images()[:2][0])
    trainer = load("huggingface_trainer").DistillationTrainer(distiller)
    optimizer = torch.optim.AdamW(trainer.model.parameters(), lr=1e-3)
    losses = []
    for _ in range(6):
        for pixels, labels in DataLoader(images(), 8):
            trainer.model.train()
            loss = trainer.compute_loss(
                trainer.model, {"pixel_values": pixels, "labels": labels}, num_items_in_batch=None
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            trainer.state.global_step += 1
            losses.append(float(loss.detach()))
    assert sum(losses[-2:]) < sum(losses[:2])
    trainer.model.eval()
    with torch.no_grad():
        loss, outputs = trainer.compute_loss(trainer.model, {"pixel_values": pixels, "labels": labels}, True)
    assert torch.equal(outputs["logits"], student(pixels))


def test_a_trainer_of_transformers(tmp_path):
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed; a stand-in is tested"
    )
    distiller = kdzoo.Distiller(*networks(), "dkd", example=images()[:2][0])
    rows = [{"pixel_values": pixels, "labels": label} for pixels, label in images()]
    arguments = transformers.TrainingArguments(
        str(tmp_path),
        max_steps=2,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
        use_cpu=True,
    )
    load("huggingface_trainer").DistillationTrainer(distiller, arguments, train_dataset=rows).train()


def test_its_state_fits_in_safetensors(tmp_path):
    """In which trainers of Hugging Face keep it."""
    from safetensors.torch import load_file, save_file

    student, _ = networks()
    distiller = kdzoo.Distiller(student, None, "ema", example=images()[:2][0])
    save_file(distiller.state_dict(), tmp_path / "model.safetensors")
    distiller.load_state_dict(load_file(tmp_path / "model.safetensors"))


@pytest.mark.slow
def test_a_teacher_sharded_over_two_processes_teaches_as_a_whole_one(tmp_path):
    module = load("sharded_teacher")
    torch.manual_seed(0)
    teacher = timm.create_model("test_vit", num_classes=4)
    student = timm.create_model("test_resnet", num_classes=4)
    distiller = kdzoo.Distiller(student, teacher, "fitnet", example=torch.zeros(2, 3, 160, 160)).train()
    first = []
    for rank in range(2):
        pictures = torch.randn(4, 3, 160, 160, generator=torch.Generator().manual_seed(rank))
        first.append(float(distiller(pictures, torch.arange(4))["total"].detach()))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            module.__file__,
        ],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    losses = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("loss")]
    assert losses[0] == pytest.approx(sum(first) / 2, rel=1e-5)
    assert losses[1] < losses[0]
