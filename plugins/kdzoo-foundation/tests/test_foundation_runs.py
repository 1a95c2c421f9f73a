"""From the recipe to the exported student: teachers of any kind, no labels, no classifier."""

from __future__ import annotations

import json

import pytest
import timm
import torch
import yaml
from typer.testing import CliRunner

from kdzoo.api import KdzooError
from kdzoo.cli.main import app
from kdzoo.engine.weights import weights_hash
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.watch import KeepRun
from kdzoo.zoo import Zoo

ZOO = Zoo()
SMALL = {
    "roles.student.model": "test_efficientnet",
    "data.dataset": "digits",
    "data.train_per_class": 4,
    "data.test_per_class": 2,
    "data.batch_size": 8,
    "epochs": 2,
    "observers": [],
    "checkpoint_seconds": 1e9,
}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """Two teachers of other classes and architectures: model -> file."""
    folder = tmp_path_factory.mktemp("teachers")
    torch.manual_seed(0)
    for name in ("test_vit", "test_convnext"):
        torch.save(timm.create_model(name, num_classes=7, in_chans=1).state_dict(), folder / f"{name}.pth")
    return folder


def recipe(method, teachers, **settings):
    named = {"roles.teacher.model": "test_vit", "roles.teacher.weights": str(teachers / "test_vit.pth")}
    if method in ("agglomerate", "agglomerate-phi-s", "proxy"):
        named |= {
            "roles.teacher2.model": "test_convnext",
            "roles.teacher2.weights": str(teachers / "test_convnext.pth"),
            "roles.teacher2.img_size": 64,
            "roles.teacher2.mean": [0.3],
        }
    keys = {**SMALL, **named, **settings}
    registry = load_registry(ZOO)
    layers = [Layer("test", dotted(keys))]
    return resolve(zoo=ZOO, registry=registry, method=method, layers=layers, spare=["teacher2"])


def run(folder, method, teachers, **settings):
    keep = KeepRun()
    result = train(recipe(method, teachers, **settings), folder, zoo=ZOO, listeners=[keep])
    return result, keep.run


LABEL_FREE = ["features", "features-dense", "queue", "agglomerate", "agglomerate-phi-s", "proteus", "proxy"]


@pytest.mark.parametrize("method", LABEL_FREE)
def test_a_student_without_a_classifier_learns_and_its_teachers_stay_bitwise(method, teachers, tmp_path):
    more = {"roles.proxy.model": "test_resnet"} if method == "proxy" else {}
    result, done = run(tmp_path / "run", method, teachers, **more)
    assert result["test/last"] is None
    assert 0 <= result["val/knn"] <= 100
    assert 0 <= result["test/knn"] <= 100
    labels = done.data.labels
    assert bool((labels == -1).all()), "no label of a training image is known to the run"
    frozen = {role: one.module for role, one in done.members.items() if role.startswith("teacher")}
    assert frozen
    for network in frozen.values():
        file = teachers / f"{network.name}.pth"
        saved = torch.load(file, weights_only=True)
        assert all(torch.equal(one, saved[name]) for name, one in network.model.state_dict().items())
    config = json.loads((tmp_path / "run" / "student" / "config.json").read_text())
    assert config["num_classes"] == 0
    taught = [
        row["metrics"]["train/teach"]
        for row in read_journal(tmp_path / "run" / "metrics.jsonl")
        if row["event"] == "epoch"
    ]
    assert taught
    assert all(0 < value < 1e3 for value in taught)


def test_each_teacher_has_a_head_and_each_head_its_averages(teachers, tmp_path):
    _, done = run(tmp_path / "run", "agglomerate", teachers, **{"algorithm.dense": 1.0})
    heads = done.roles["heads"]
    assert set(heads) == {"teacher1", "teacher2"}
    for head in heads.values():
        assert float(head.pooled_standard.batches) == float(head.dense_standard.batches) > 0


def test_teachers_that_are_all_named_need_no_other(teachers, tmp_path):
    named = {
        f"roles.teacher{number}": {"model": model, "weights": str(teachers / f"{model}.pth")}
        for number, model in enumerate(("test_vit", "test_convnext"), 1)
    }
    registry = load_registry(ZOO)
    layers = [Layer("test", dotted({**SMALL, **named}))]
    found = resolve(zoo=ZOO, registry=registry, method="agglomerate", layers=layers)
    assert set(found.roles) == {"student", "teacher1", "teacher2"}
    assert [found.roles[f"teacher{number}"].head for number in (1, 2)] == [False, False]
    keep = KeepRun()
    train(found, tmp_path / "run", zoo=ZOO, listeners=[keep])
    assert set(keep.run.roles["heads"]) == {"teacher1", "teacher2"}


def test_phi_s_is_measured_before_the_first_step(teachers, tmp_path):
    _, done = run(
        tmp_path / "run",
        "agglomerate-phi-s",
        teachers,
        **{"algorithm.dense": 1.0, "algorithm.measured": 2},
    )
    (measured,) = (value for name, value in done.state.items() if name.startswith("agglomerate/"))
    assert set(measured) == {f"teacher{number}/{term}" for number in (1, 2) for term in ("pooled", "dense")}
    mean, covariance = measured["teacher1/pooled"]
    assert covariance.shape == (*mean.shape, *mean.shape)
    matrix = done.roles["heads"]["teacher1"].pooled_standard.matrix.double()
    diagonal = (matrix @ covariance @ matrix.T).diagonal()
    torch.testing.assert_close(diagonal, torch.ones_like(diagonal), atol=1e-3, rtol=0)


def test_the_proxy_alone_teaches_the_student(teachers, tmp_path):
    _, done = run(tmp_path / "run", "proxy", teachers, **{"roles.proxy.model": "test_resnet"})
    assert set(done.roles["heads"]) == {"proxy"}
    assert not done.members["proxy"].learns


def test_a_proxy_must_be_named(teachers, tmp_path):
    with pytest.raises(KdzooError, match=r"--roles\.proxy=MODEL"):
        run(tmp_path / "run", "proxy", teachers)


def test_a_teacher_without_weights_is_not_trained_on_labels(teachers, tmp_path):
    with pytest.raises(KdzooError, match=r"no weights, and train=never: pass --teacher-weights"):
        run(tmp_path / "run", "features", teachers, **{"roles.teacher.weights": None})


def test_dropping_changes_the_student_and_needs_several_teachers(teachers, tmp_path):
    hashes = [
        weights_hash(run(tmp_path / name, "agglomerate", teachers, **settings)[1].roles["student"])
        for name, settings in {
            "dropped": {},
            "kept": {"algorithm.drop": 0.0},
            "one": {"scheme.teachers": 1},
            "one-kept": {"scheme.teachers": 1, "algorithm.drop": 0.0},
        }.items()
    ]
    assert hashes[0] != hashes[1]
    assert hashes[2] == hashes[3]


def test_patches_are_hidden_only_from_a_student_that_reads_patches(teachers, tmp_path):
    _, convolutional = run(tmp_path / "convolutional", "proteus", teachers)
    assert set(convolutional.roles["heads"]) == {"seen"}
    vit = {"roles.student.model": "test_vit", "roles.student.img_size": 32}
    _, whole = run(tmp_path / "whole", "proteus", teachers, **vit, **{"algorithm.masked": 0.0})
    _, masked = run(tmp_path / "masked", "proteus", teachers, **vit)
    assert set(whole.roles["heads"]) == {"seen"}
    assert set(masked.roles["heads"]) == {"seen", "hidden"}
    assert weights_hash(whole.roles["student"]) != weights_hash(masked.roles["student"])


@pytest.mark.slow
def test_a_suite_compares_students_without_a_classifier_by_their_neighbours(teachers, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    suite = {
        "methods": ["features", "queue"],
        "baseline": "features",
        "headline": "test/knn",
        "pairs": [{"teacher": "test_vit", "student": "test_efficientnet"}],
        "seeds": [0],
        "recipe": {
            "epochs": 1,
            "data": {"dataset": "digits", "train_per_class": 4, "test_per_class": 2, "batch_size": 8},
            "roles": {"teacher": {"weights": str(teachers / "test_vit.pth")}},
        },
    }
    (tmp_path / "headless.yaml").write_text(yaml.safe_dump(suite))
    command = ["bench", str(tmp_path / "headless.yaml"), "--output", str(tmp_path / "out"), "--workers", "1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "test k-NN" in done.stderr
    board = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    (pair,) = board["pairs"]
    assert {row["entry"] for row in pair["rows"]} == {"features", "queue"}
    assert all(0 <= row["last"]["mean"] <= 100 for row in pair["rows"])
    assert "different data" not in (tmp_path / "out" / "report.md").read_text()
