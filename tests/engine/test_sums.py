"""Several knowledges along one arrow: their weighted losses are added, and each network runs once."""

import pytest
import torch

import kdzoo
from kdzoo.api import KdzooError, Lesson
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.resolve import resolve
from kdzoo.testing.watch import KeepRun, Stop, StopAfter, weights_of

SUM = [{"name": "kd", "weight": 0.9}, {"name": "fitnet", "weight": 2.0}, {"name": "rkd", "weight": 0.5}]


def passes(run):
    """Forward passes of each network on whole batches, counted by hooks."""
    counts = dict.fromkeys(run.roles, 0)

    def counting(role):
        def count(module, given, answer):
            counts[role] += given[0].shape[0] > 2  # two samples show the shapes

        return count

    for role, module in run.roles.items():
        module.register_forward_hook(counting(role))
    return counts


def test_the_loss_is_the_weighted_sum_and_each_network_runs_once(make_run, batch):
    run = make_run("kd", knowledge=SUM)
    counts = passes(run)
    batch = run.begin_step(0, batch)
    total = run.teach(batch)
    parts = dict(run.lessons.part_losses)
    assert list(parts) == ["kd", "fitnet", "rkd"]
    torch.testing.assert_close(total, 0.9 * parts["kd"] + 2.0 * parts["fitnet"] + 0.5 * parts["rkd"])
    assert counts == {"student": 1, "teacher": 1}


@pytest.mark.parametrize("name", ["kd", "rkd"])
def test_each_part_is_the_loss_of_that_knowledge_alone(make_run, batch, name):
    several = make_run("kd", knowledge=SUM)
    several.teach(several.begin_step(0, batch))
    alone = make_run("kd", knowledge=name)
    loss = alone.teach(alone.begin_step(0, batch))
    torch.testing.assert_close(several.lessons.part_losses[name], loss.detach())


def test_every_connector_learns(make_run, batch):
    run = make_run("kd", knowledge=SUM)
    batch = run.begin_step(0, batch)
    loss = run.teach(batch)
    parameters = dict(run.connectors["student", "teacher"].module.named_parameters())
    before = {name: one.clone() for name, one in parameters.items()}
    assert before
    run.update(loss, "student", "knowledge")
    assert all(not torch.equal(before[name], one) for name, one in parameters.items())


def test_losses_of_several_lessons_add_up_under_one_name(make_run, batch):
    two = [Lesson("student", "teacher", 1.0), Lesson("student", "teacher", 2.0)]
    run = make_run("kd", knowledge=SUM, lessons=lambda run, batch: two)
    batch = run.begin_step(0, batch)
    total = run.teach(batch)
    parts = run.lessons.part_losses
    torch.testing.assert_close(total, 0.9 * parts["kd"] + 2.0 * parts["fitnet"] + 0.5 * parts["rkd"])


def test_weights_of_samples_are_refused_by_the_part_that_has_one_loss_for_the_batch(make_run, batch):
    each = Lesson("student", "teacher", torch.ones(len(batch)))
    run = make_run("kd", knowledge=SUM, lessons=lambda run, batch: [each])
    batch = run.begin_step(0, batch)
    with pytest.raises(KdzooError, match="has a weight for each sample; knowledge 'rkd' gives one loss"):
        run.teach(batch)


def recipe_of(zoo, registry, knowledge):
    keys = {
        "roles.student.model": "test_efficientnet",
        "roles.teacher.model": "test_resnet",
        "roles.teacher.epochs": 1,
        "data.train_per_class": 6,
        "data.test_per_class": 2,
        "data.val_fraction": 0.0,
        "data.batch_size": 16,
        "epochs": 2,
        "checkpoint_seconds": 0.0,
        "observers": [],
        "knowledge": knowledge,
    }
    return resolve(zoo=zoo, registry=registry, method="kd", layers=[Layer("test", dotted(keys))])


def test_a_run_records_each_part_and_resumes_bit_for_bit(zoo, registry, tmp_path):
    recipe = recipe_of(zoo, registry, SUM)
    whole, again = KeepRun(), KeepRun()
    train(recipe, tmp_path / "whole", zoo=zoo, listeners=[whole])
    with pytest.raises(Stop):
        train(recipe, tmp_path / "again", zoo=zoo, listeners=[StopAfter(5)])
    train(recipe, tmp_path / "again", zoo=zoo, resume=True, listeners=[again])
    assert weights_of(again.run) == weights_of(whole.run)
    (first, second) = [
        row for row in read_journal(tmp_path / "whole" / "metrics.jsonl") if row["event"] == "epoch"
    ]
    for row in (first["metrics"], second["metrics"]):
        parts = 0.9 * row["train/teach/kd"] + 2.0 * row["train/teach/fitnet"] + 0.5 * row["train/teach/rkd"]
        assert row["train/teach"] == pytest.approx(parts, rel=1e-5)


def test_a_distiller_takes_a_sum():
    import timm

    student, teacher = (
        timm.create_model(name, num_classes=5) for name in ("test_efficientnet", "test_resnet")
    )
    images, target = torch.rand(4, 3, 64, 64), torch.arange(4)
    settings = {"knowledge": [{"name": "kd", "weight": 0.25}, "rkd"]}
    losses = kdzoo.Distiller(student.eval(), teacher, "kd", settings=settings)(images, target)
    single = [
        kdzoo.Distiller(student, teacher, "kd", settings={"knowledge": name})(images, target)["teach"]
        for name in ("kd", "rkd")
    ]
    torch.testing.assert_close(losses["teach"], 0.25 * single[0] + single[1])
