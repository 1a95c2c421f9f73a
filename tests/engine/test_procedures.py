"""What algorithms lean on that are more than a loss: figures and pictures, growing networks, noise, two modes."""

import json
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

from kdzoo.api import Batch, Noise, Phase
from kdzoo.api.noise import Noise as Source
from kdzoo.builtin.distill import Distill
from kdzoo.engine.columns import columns_of
from kdzoo.engine.evaluate import accuracy
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.testing.watch import KeepRun


class TwoTasks(Distill):
    """First two classes, then all, with a head that is in another order than the data."""

    def phases(self, run):
        student = run.roles["student"]
        classes = run.data.classes

        def step(batch):
            loss = run.task("student", batch)
            run.update(loss, "student")
            return {"task": loss}

        def figures():
            assert not student.training
            run.picture("first", next(iter(run.data.test)).inputs["image"])
            return {"val/answer": 42.0}

        for number, count in enumerate((2, len(classes))):
            names = tuple(reversed(classes))[:count]
            student.model.reset_classifier(count)
            student.num_classes, student.label_names = count, names
            student.to(run.device)
            yield Phase(f"task{number}", run.data.train, step, 1, figures, validate=number > 0)


@pytest.fixture
def grown(small_recipe, tmp_path, zoo_with):
    keep = KeepRun()
    result = train(small_recipe("baseline"), tmp_path / "run", zoo=zoo_with(TwoTasks), listeners=[keep])
    return result, keep.run, tmp_path / "run"


def test_a_head_in_another_order_is_measured_and_exported_by_the_names_of_its_classes(grown):
    result, run, folder = grown
    right = total = 0
    network = timm.create_model(f"local-dir:{folder / 'student'}", pretrained=True).eval()
    description = json.loads((folder / "student" / "config.json").read_text())
    names = description["label_names"]
    assert names == list(reversed(run.data.classes))
    mean, std = (torch.tensor(network.pretrained_cfg[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    for batch in run.data.test:
        with torch.no_grad():
            found = network((batch.inputs["image"] - mean) / std).argmax(dim=1)
        said = torch.tensor([run.data.classes.index(names[place]) for place in found])
        right += int((said == batch.target).sum())
        total += len(batch)
    assert result["test/last"] == pytest.approx(100 * right / total)


def test_only_the_epochs_of_the_last_phase_are_chosen_from(grown):
    result, _, folder = grown
    assert result["epoch/chosen"] == 2
    rows = [row["metrics"] for row in read_journal(folder / "metrics.jsonl") if row["event"] == "epoch"]
    assert [("val/accuracy" in row, row["val/answer"]) for row in rows] == [(False, 42.0), (True, 42.0)]


def test_pictures_are_files_that_the_journal_names(grown):
    _, _, folder = grown
    rows = [row for row in read_journal(folder / "metrics.jsonl") if row["event"] == "picture"]
    assert [(row["name"], row["epoch"]) for row in rows] == [
        ("first", 1),
        ("first", 2),
        ("confusion", 2),
    ]
    for row in rows:
        with Image.open(folder / row["path"]) as picture:
            assert min(picture.size) >= 64


def test_a_class_that_the_network_lacks_counts_as_unlabelled(make_run, batch):
    run = make_run("baseline")
    student = run.roles["student"]
    student.model.reset_classifier(2)
    student.num_classes, student.label_names = 2, ("c", "a")
    columns = columns_of(student, run.data)
    assert columns.of_classes(torch.tensor([0, 1, 2, 3, -1])).tolist() == [1, -1, 0, -1, -1]
    assert columns.to_classes(torch.tensor([0, 1])).tolist() == [2, 0]
    some = Batch(batch.index, batch.inputs, torch.tensor([0, 1, 2, 3, -1, 0, 2, 1]))
    logits = run.see("student", some).logits.double()
    expected = torch.nn.functional.cross_entropy(logits[[0, 2, 5, 6]], torch.tensor([1, 0, 1, 0]))
    assert run.task("student", some).item() == pytest.approx(expected.item(), rel=1e-5)
    assert 0 <= accuracy(run, "student", run.data.val) <= 100


def test_a_role_is_in_eval_mode_inside_the_block_and_as_it_was_after(make_run, batch):
    run = make_run("kd")
    network = run.roles["student"]
    still = network.model.blocks
    still.eval()
    before = run.see("student", batch)
    with run.evaluating("student"):
        assert not network.training
        inside = run.see("student", batch)
        assert inside is not before
        assert inside.logits.requires_grad
        assert not torch.equal(inside.logits, before.logits)
    assert network.training
    assert not still.training, "what was in eval mode before stays so"
    assert run.see("student", batch) is not inside


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_noise_is_a_function_of_seed_name_epoch_and_step(make_run, kind):
    run = make_run("baseline")

    def drawn(epoch, start=0, name="noise"):
        noise = Noise(run, 3, shape=(5,), kind=kind, modality="latent", batch_size=4, name=name)
        noise.set_epoch(epoch, start)
        assert len(noise) == 3
        return [batch.inputs["latent"] for batch in noise]

    first = drawn(0)
    assert [one.shape for one in first] == [(4, 5)] * 3
    assert torch.equal(torch.stack(first), torch.stack(drawn(0)))
    assert torch.equal(torch.stack(first[2:]), torch.stack(drawn(0, start=2)))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], drawn(1)[0])
    assert not torch.equal(first[0], drawn(0, name="other")[0])
    assert Source is Noise


def test_a_network_can_be_built_with_other_arguments(make_run):
    run = make_run("kd")
    teacher = run.build("teacher", arguments={"layers": (2, 1, 1, 1)})
    assert len(teacher.model.layer1) == 2
    assert not run.networks.from_file(teacher), "it has no weights to come with"
    assert Path(run.folder)


def test_a_generator_that_nobody_used_since_a_resume_is_kept_by_the_next_checkpoint(make_run):
    first = make_run("kd")
    torch.rand(3, generator=first.generator("late"))
    second = make_run("kd")
    second.restore(first.state_dict(), 0)
    third = make_run("kd")
    third.restore(second.state_dict(), 0)
    expected = torch.rand(5, generator=first.generator("late"))
    assert torch.equal(torch.rand(5, generator=third.generator("late")), expected)
