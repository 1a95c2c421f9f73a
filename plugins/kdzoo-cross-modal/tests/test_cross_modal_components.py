import subprocess
import sys

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

import kdzoo_cross_modal
from kdzoo.api import Batch, KdzooError, Output, softened_kl
from kdzoo_cross_modal.borrowed import Borrowed
from kdzoo_cross_modal.cmkd import CMKD
from kdzoo_cross_modal.functional import transfer_loss
from kdzoo_cross_modal.transfer import Stages, Transfer

BATCH = Batch(torch.arange(4), {"image": torch.zeros(4, 3, 2, 2)})
HEAT = {"data.computed.heat": "heat", "roles.student.modality": "heat"}
SHORT = {"epochs": 1, "teacher_epochs": 1, "train_per_class": 4, "test_per_class": 4, "labels_per_class": 0}


def output(width, size, seed):
    draw = torch.Generator().manual_seed(seed)
    maps = [torch.randn(4, width, side, side, generator=draw) for side in size]
    return Output(torch.randn(4, 5, generator=draw), tuple(maps), torch.randn(4, width, generator=draw))


def only(one, knowledge):
    """What the engine shows: the embedding where it is asked for."""
    features = one.features if knowledge.taps.student else ()
    return Output(one.logits, features, one.embedding if knowledge.taps.embedding else None)


def built(knowledge, student, teacher):
    student, teacher = only(student, knowledge), only(teacher, knowledge)
    knowledge.build(student, teacher, None)
    return student, teacher


def test_the_plugin_announces_itself_without_torch():
    assert list(kdzoo_cross_modal.kdzoo_knowledge()) == ["transfer", "cmkd"]
    assert list(kdzoo_cross_modal.kdzoo_schemes()) == ["cross-modal"]
    script = "import sys, kdzoo_cross_modal; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


class TestTransfer:
    def test_embeddings_of_one_width_are_compared_as_they_are(self):
        knowledge = Transfer()
        student, teacher = built(knowledge, output(6, (), 0), output(6, (), 1))
        assert not list(knowledge.parameters())
        expected = transfer_loss(student.embedding, teacher.embedding, reduction="none")
        torch.testing.assert_close(knowledge(student, teacher, BATCH), expected, rtol=0, atol=0)

    def test_other_widths_are_mapped(self):
        knowledge = Transfer()
        student, teacher = built(knowledge, output(3, (), 0), output(6, (), 1))
        (linear,) = knowledge.maps
        mapped = student.embedding @ linear.weight.T + linear.bias
        expected = transfer_loss(mapped, teacher.embedding, reduction="none")
        torch.testing.assert_close(knowledge(student, teacher, BATCH), expected)

    def test_stages_are_pooled_mapped_and_summed(self):
        knowledge = Transfer(stages=(-2, -1))
        assert not knowledge.taps.embedding
        student, teacher = built(knowledge, output(3, (8, 4), 0), output(6, (4, 4), 1))
        expected = torch.zeros(4)
        for linear, own, other in zip(knowledge.maps, student.features, teacher.features, strict=True):
            own = nn.functional.adaptive_avg_pool2d(own, 4)
            mapped = nn.functional.conv2d(own, linear.weight[..., None, None], linear.bias)
            expected = expected + transfer_loss(mapped, other, reduction="none")
        torch.testing.assert_close(knowledge(student, teacher, BATCH), expected)

    @pytest.mark.parametrize("stages", [(), (-1,), (-2, -1)])
    def test_everything_that_it_declares_learns(self, stages):
        knowledge = Transfer(stages)
        count = len(stages) or 1
        student, teacher = built(knowledge, output(3, (4,) * count, 0), output(6, (4,) * count, 1))
        knowledge(student, teacher, BATCH).mean().backward()
        assert len(list(knowledge.parameters())) == 2 * count
        assert all(one.grad.abs().sum() > 0 for one in knowledge.parameters())

    def test_no_label_is_read(self):
        knowledge = Transfer()
        student, teacher = built(knowledge, output(6, (), 0), output(6, (), 1))
        labelled = Batch(BATCH.index, BATCH.inputs, torch.arange(4))
        assert torch.equal(knowledge(student, teacher, labelled), knowledge(student, teacher, BATCH))

    @pytest.mark.parametrize("stages", [(1,), (-1, -2), (-1, -1)])
    def test_stages_that_are_none_are_refused(self, stages):
        with pytest.raises((KdzooError, ValidationError)):
            TypeAdapter(Stages).validate_python(stages)


def test_cmkd_is_the_divergence_of_the_classes():
    student, teacher = output(3, (), 0), output(6, (), 1)
    expected = softened_kl(student.logits, teacher.logits, 2.0)
    torch.testing.assert_close(CMKD(temperature=2.0)(student, teacher, BATCH), expected, rtol=0, atol=0)
    assert CMKD()(student, student, BATCH).abs().max() < 1e-6


class Flat(nn.Module):
    """As much of a backbone as a borrower needs."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(12, width)

    def forward(self, image, stages=(), embedding=False):
        return Output(self.linear(image.flatten(1)), tuple(image for _ in stages))


class TestBorrowed:
    @pytest.mark.parametrize("classifier", [nn.Linear(7, 5), nn.Conv2d(7, 5, 1), nn.Linear(7, 5, bias=False)])
    def test_the_teachers_features_get_the_teachers_classes(self, classifier):
        student = Borrowed(Flat(7), classifier)
        image = torch.rand(4, 3, 2, 2)
        answer = student(image, (-1,), embedding=True)
        torch.testing.assert_close(answer.embedding, student.network(image).logits, rtol=0, atol=0)
        conv = isinstance(classifier, nn.Conv2d)
        read = answer.embedding[..., None, None] if conv else answer.embedding
        torch.testing.assert_close(answer.logits, classifier(read).flatten(1))
        assert len(answer.features) == 1
        assert student(image).embedding is None

    def test_the_classifier_is_a_copy_that_does_not_learn(self):
        classifier = nn.Linear(7, 5)
        student = Borrowed(Flat(7), classifier)
        assert {name for name, _ in student.named_parameters()} == {
            "network.linear.weight",
            "network.linear.bias",
        }
        before = student.weight.clone()
        with torch.no_grad():
            classifier.weight.zero_()
        assert torch.equal(student.weight, before)
        student(torch.rand(4, 3, 2, 2)).logits.sum().backward()
        assert student.network.linear.weight.grad.abs().sum() > 0

    @pytest.mark.parametrize("classifier", [nn.Conv2d(7, 5, 3), nn.Sequential(nn.Linear(7, 5))])
    def test_another_classifier_is_refused(self, classifier):
        with pytest.raises(KdzooError, match="is not a linear map"):
            Borrowed(Flat(7), classifier)


class TestScheme:
    @pytest.mark.parametrize("head", ["own", "teacher"])
    def test_each_role_reads_its_own_modality(self, experiment, head):
        one = experiment("transfer", **SHORT, **HEAT, **{"scheme.head": head})
        for name in ("student", "teacher"):
            one.run.roles[name].eval()
        (batch,) = one.run.data.test
        student, teacher = (one.run.roles[name] for name in ("student", "teacher"))
        with torch.no_grad():
            assert torch.equal(one.run.see("student", batch).logits, student(batch.inputs["heat"]).logits)
            assert torch.equal(one.run.see("teacher", batch).logits, teacher(batch.inputs["image"]).logits)
        assert isinstance(student, Borrowed) == (head == "teacher")
        assert not any(parameter.requires_grad for parameter in teacher.parameters())
        if head == "teacher":
            assert torch.equal(student.weight, teacher.classifier.weight.flatten(1))

    def test_a_student_of_one_channel_has_a_teacher_of_three(self, experiment, tmp_path):
        import numpy as np
        from PIL import Image

        random = np.random.default_rng(0)
        for split in ("train", "test"):
            for name in ("cat", "dog"):
                for item in range(8):
                    place = tmp_path / split / name
                    place.mkdir(parents=True, exist_ok=True)
                    pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(place / f"{item}.png")
        settings = {"epochs": 1, "teacher_epochs": 1, "labels_per_class": 0, "data_dir": str(tmp_path)}
        one = experiment("transfer", **settings, **HEAT)
        assert one.run.roles["teacher"].channels == 3
        assert one.run.roles["student"].network.channels == 1

    def test_the_exported_student_classifies_its_own_modality(self, experiment, tmp_path):
        from kdzoo.jobs.program import write_program

        one = experiment("transfer", **SHORT, **HEAT)
        student = one.run.roles["student"].eval()
        write_program(student, tmp_path, one.run.data.classes, (1, 32, 32))
        heat = next(iter(one.run.data.test)).inputs["heat"]
        with torch.no_grad():
            found = torch.export.load(tmp_path / "model.pt2").module()(heat)
            torch.testing.assert_close(found, student(heat).logits, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"roles.student.modality": "image"},
                r"both read 'image' of image, heat; choose with .*modality",
            ),
            ({"roles.student.modality": "depth"}, "'depth': the data has image, heat"),
            ({"student_checkpoint": "x.pth"}, r"roles\.student\.checkpoint: .*none of its own to load"),
        ],
        ids=str,
    )
    def test_what_cannot_be_is_refused(self, experiment, settings, message):
        with pytest.raises(KdzooError, match=message):
            experiment("transfer", **{**SHORT, **HEAT, **settings})
