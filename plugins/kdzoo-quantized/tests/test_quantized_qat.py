"""The algorithms in runs on a few digits: who learns, how the student starts, what is measured and refused."""

import json
from functools import cache

import pytest
import timm
import torch

from kdzoo.api import KdzooError
from kdzoo.cli.flags import layer
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.watch import KeepRun, StopAfter
from kdzoo.zoo import Zoo
from kdzoo_quantized.insert import weight_quantizers
from kdzoo_quantized.network import QuantizedNetwork
from kdzoo_quantized.quantizers import ActivationQuantizer
from kdzoo_quantized.student import split

SMALL = {
    "epochs": 1, "batch_size": 16, "train_per_class": 4, "test_per_class": 2, "teacher": "test_resnet",
    "val_fraction": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("teacher") / "teacher.pth"
    torch.save(timm.create_model("test_resnet", num_classes=10, in_chans=1).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, teacher_file):
    """trained("qkd", **settings) -> the finished run, its phases' metrics, its folder and its result."""
    zoo = Zoo()

    @cache
    def run(method, student="test_resnet", listeners=(), **settings):
        quiet = {"observers": [], "checkpoint_seconds": 1e9, **settings}
        flags = {**SMALL, "teacher_checkpoint": teacher_file, "student": student}
        layers = [*layer(**flags), Layer("test", dotted(quiet))]
        recipe = resolve(zoo=zoo, registry=load_registry(zoo), method=method, layers=layers)
        keep = KeepRun()
        folder = tmp_path_factory.mktemp("run") / "run"
        result = train(recipe, folder, zoo=zoo, listeners=[keep, *listeners])
        rows = [json.loads(row) for row in (folder / "metrics.jsonl").read_text().splitlines()]
        return keep.run, rows, folder, result

    return run


def steps(run):
    return [one.step for one in run.roles["student"].modules() if isinstance(one, ActivationQuantizer)]


def test_the_student_rounds_learns_its_steps_and_says_what_it_weighs(trained):
    run, _, folder, result = trained("lsq-kd", **{"algorithm.start": "teacher"})
    student = run.roles["student"]
    assert isinstance(student, QuantizedNetwork)
    assert all(len(module.weight.unique()) <= 4 for module, _ in weight_quantizers(student).values())
    assert all(step.item() not in (0.0, 1.0) for step in steps(run)), "calibrated"
    assert 0 < 8 * result["size/student_bytes"] < result["size/float_bytes"]
    card = (folder / "student" / "README.md").read_text()
    assert f"{result['size/student_bytes']:,.0f} bytes" in card
    batch = next(iter(run.data.test))
    program = torch.export.load(folder / "student" / "model.pt2").module()
    with torch.no_grad():
        assert torch.equal(program(batch.inputs["image"]), student.eval()(batch.inputs["image"]).logits)


@pytest.mark.slow
def test_a_student_that_starts_as_its_teacher_has_its_weights(trained, teacher_file):
    still = {"algorithm.start": "teacher", "algorithm.rate": 1e-12, "optim.weight_decay": 0.0}
    run, *_ = trained("lsq-kd", **still, **{"optim.warmup_lr": 0.0})
    theirs = torch.load(teacher_file)
    for name, (module, _) in weight_quantizers(run.roles["student"].backbone.model).items():
        torch.testing.assert_close(
            module.parametrizations.weight.original.detach(), theirs[f"{name}.weight"], rtol=0, atol=1e-6
        )


@pytest.mark.slow
def test_a_float_phase_comes_before_the_rounding(trained):
    run, rows, *_ = trained("lsq-kd", "test_efficientnet", epochs=2)
    phases = [row["phase"] for row in rows if row["event"] == "epoch"]
    assert list(dict.fromkeys(phases)) == ["float", "qat"]
    assert isinstance(run.roles["student"], QuantizedNetwork)


def test_a_frozen_teacher_stays_as_it_is(trained, teacher_file):
    run, *_ = trained("lsq-kd", **{"algorithm.start": "teacher"})
    for name, one in torch.load(teacher_file).items():
        assert torch.equal(run.roles["teacher"].model.state_dict()[name], one), name


def test_a_joint_teacher_begins_untrained_and_learns(trained, teacher_file):
    run, _, _, result = trained("apprentice-joint", "test_efficientnet")
    assert run.students == ("student", "teacher")
    assert "test/teacher" in result
    before = torch.load(teacher_file)
    own = run.roles["teacher"].model.state_dict()
    assert not any(
        torch.equal(one, before[name]) for name, one in own.items() if name.endswith("conv1.weight")
    )


def test_the_teacher_learns_in_the_co_study_alone(trained, teacher_file):
    run, rows, _, result = trained("qkd", epochs=3, **{"algorithm.start": "teacher"})
    before = torch.load(teacher_file)
    own = run.roles["teacher"].model.state_dict()
    assert not torch.equal(own["fc.weight"], before["fc.weight"])
    assert not any(parameter.requires_grad for parameter in run.roles["teacher"].parameters())
    assert run.students == ("student",)
    assert "test/teacher" in result
    recorded = {
        row["phase"]: {name for name in row["metrics"] if name.startswith("train/")}
        for row in rows
        if row["event"] == "epoch"
    }
    assert recorded == {
        "self-study": {"train/task"},
        "co-study": {"train/task", "train/teach", "train/teacher", "train/back"},
        "tutor": {"train/task", "train/teach"},
    }


@pytest.mark.slow
def test_the_tutor_is_frozen(trained):
    """One run whose tutoring is 1 epoch and one whose tutoring is 3 have the same teacher."""
    shares = {"algorithm.start": "teacher", "optim.sched": "none"}
    short, *_ = trained("qkd", epochs=3, **shares)
    long, *_ = trained("qkd", epochs=5, **shares, **{"algorithm.tutor_share": 3.0})
    for one, other in zip(
        short.roles["teacher"].parameters(), long.roles["teacher"].parameters(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("knowledge", ["rkd", "at"])
def test_other_knowledge(trained, knowledge):
    _, _, _, result = trained("lsq-kd", "test_efficientnet", epochs=2, knowledge=knowledge)
    assert result["test/last"] is not None


def test_every_parameter_of_the_student_learns(trained):
    run, *_ = trained("lsq-kd", **{"algorithm.start": "teacher"})
    optimizer = run.members["student"].optimizer
    names = dict(run.roles["student"].named_parameters())
    assert {id(one) for group in optimizer.param_groups for one in group["params"]} == {
        *map(id, names.values())
    }
    assert all(one in optimizer.state for one in names.values())
    kept = [name for name, one in names.items() if name.endswith(".step") and one.ndim > 1]
    assert not kept, "what has two dimensions would be decayed"


@pytest.mark.parametrize(
    ("method", "student", "settings", "message"),
    [
        ("lsq-kd", "test_efficientnet", {"algorithm.start": "teacher"}, "cannot take those of 'test_resnet'"),
        ("lsq-kd", "test_resnet", {"scheme": "mutual"}, "also has the role 'peer1'"),
        ("lsq-kd", "nf_regnet_b0", {}, "changes its weights itself"),
        (
            "lsq-kd",
            "test_resnet",
            {"algorithm.weight_bits": None, "algorithm.activation_bits": None},
            "no layer",
        ),
        ("qkd", "test_resnet", {"scheme": "joint"}, "needs a trained teacher"),
    ],
)
def test_refused_before_training(trained, method, student, settings, message):
    with pytest.raises(KdzooError, match=message):
        trained(method, student, listeners=(StopAfter(0),), **settings)


@pytest.mark.parametrize(
    ("epochs", "shares", "expected"),
    [
        (10, (1, 1), [5, 5]),
        (9, (1, 2, 3), [2, 2, 5]),
        (2, (1, 1, 1, 1), [1, 1, 1, 1]),
        (100, (0.3, 0.7), [30, 70]),
    ],
)
def test_epochs_are_split_by_shares(epochs, shares, expected):
    assert split(epochs, shares) == expected
