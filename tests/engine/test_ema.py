"""The average of a student's weights: timm's numbers, saved, evaluated, exported."""

import json

import pytest
import timm
import torch
from timm.utils import ModelEmaV3
from torch import nn

from kdzoo.engine.ema import MovingAverage, with_weights
from kdzoo.engine.listeners import Listener
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.stopping import Stop, Stopped
from kdzoo.zoo import Zoo


def bits(state):
    return {name: one.clone() for name, one in state.items()}


@pytest.mark.parametrize("warmup", [False, True])
def test_it_equals_timms_over_updates_of_a_network_with_batch_norm(warmup):
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=4)
    theirs, ours = ModelEmaV3(model, decay=0.9, use_warmup=warmup), MovingAverage(0.9, warmup)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(1, 7):
        model(torch.randn(4, 3, 32, 32)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        theirs.update(model, step=step)
        ours.update(model)
        expected = theirs.module.state_dict()
        assert ours.tensors.keys() == expected.keys()
        assert all(torch.equal(ours.tensors[name], one) for name, one in expected.items()), step
    assert any(one.dtype == torch.int64 for one in ours.tensors.values()), "BatchNorm counts its batches"


def test_a_block_has_other_weights_and_leaves_those_of_before():
    module = nn.Linear(2, 2)
    before = bits(module.state_dict())
    zeros = {name: torch.zeros_like(one) for name, one in before.items()}
    with with_weights(module, zeros):
        assert not module.weight.any()
    assert all(torch.equal(before[name], one) for name, one in module.state_dict().items())


EMA = {
    "model_ema.decay": 0.9,
    "model_ema.warmup": True,
    "epochs": 2,
    "data.train_per_class": 5,
    "data.test_per_class": 4,
}


def last_checkpoint(folder):
    return torch.load(folder / "checkpoint" / "last.ckpt", weights_only=False)


def test_the_average_is_evaluated_and_exported_and_its_teacher_is_not_averaged(small_recipe, tmp_path):
    class Weights(Listener):
        def phase_ended(self, run, phase):
            self.exported = bits(run.roles["student"].state_dict())
            self.plain = run.members["student"].unaveraged

    seen = Weights()
    result = train(small_recipe("kd", **EMA), tmp_path / "run", zoo=Zoo(), listeners=[seen])
    plain = train(
        small_recipe("kd", **{**EMA, "model_ema.decay": None, "model_ema.warmup": False}),
        tmp_path / "plain",
        zoo=Zoo(),
    )
    assert result["test/without_ema"] == plain["test/last"], (
        "training is the same with and without an average"
    )
    assert result["val/chosen"] >= result["val/last"]
    model = timm.create_model(f"local-dir:{tmp_path / 'run' / 'student'}", pretrained=True)
    exported = {name.removeprefix("model."): one for name, one in seen.exported.items()}
    assert all(torch.equal(one, exported[name]) for name, one in model.state_dict().items())
    assert any(not torch.equal(one, seen.plain[f"model.{name}"]) for name, one in model.state_dict().items())
    rows = [
        row["metrics"] for row in read_journal(tmp_path / "run" / "metrics.jsonl") if row["event"] == "epoch"
    ]
    theirs = [
        row["metrics"]
        for row in read_journal(tmp_path / "plain" / "metrics.jsonl")
        if row["event"] == "epoch"
    ]
    assert [row["val/accuracy_without_ema"] for row in rows] == [row["val/accuracy"] for row in theirs]
    assert rows[-1]["val/accuracy"] == result["val/last"]
    assert "moving average, decay 0.9" in (tmp_path / "run" / "student" / "README.md").read_text()


def test_every_student_of_a_scheme_is_averaged(small_recipe, tmp_path):
    class Which(Listener):
        averaged = ()

        def phase_ended(self, run, phase):
            self.averaged = tuple(name for name in run.members if run.members[name].unaveraged is not None)
            self.students = run.students

    seen = Which()
    train(small_recipe("dml", **EMA), tmp_path / "run", zoo=Zoo(), listeners=[seen])
    assert seen.averaged == seen.students
    assert len(seen.students) > 1


class StopAt(Listener):
    """Ask to stop in a step of the run."""

    def __init__(self, stop, step):
        self.stop, self.left = stop, step

    def step_ended(self, run, batch, figures, moment):
        self.left -= 1
        if self.left == 0:
            self.stop.asked = 15


@pytest.mark.parametrize(
    "settings", [EMA, {**EMA, "optim.grad_accum_steps": 2}], ids=["ema", "groups of two"]
)
def test_stopped_in_an_epoch_and_resumed_equals_uninterrupted_bit_for_bit(settings, small_recipe, tmp_path):
    job, stop = small_recipe("kd", **settings), Stop()
    whole = train(job, tmp_path / "whole", zoo=Zoo())
    with pytest.raises(Stopped):
        train(job, tmp_path / "cut", zoo=Zoo(), stop=stop, listeners=[StopAt(stop, 1)])
    content = last_checkpoint(tmp_path / "cut")
    assert content["position"]["step"] == settings.get("optim.grad_accum_steps", 1), "after a whole group"
    again = train(job, tmp_path / "cut", zoo=Zoo(), resume=True)
    for key in ("test/last", "test/without_ema", "val/last", "test/chosen"):
        assert again[key] == whole[key], key
    hashes = [
        json.loads((tmp_path / run / "provenance.json").read_text())["student_hash"]
        for run in ("whole", "cut")
    ]
    assert hashes[0] == hashes[1]
