"""The small recipe names a network for each role that a scheme needs."""

import torch

from kdzoo.api import DeclaredRole, Output, Scheme, Taps
from kdzoo.engine.evaluate import accuracy
from kdzoo.jobs.train import train
from kdzoo.testing.watch import KeepRun

from .conftest import Squares


class Judged(Scheme):
    """A frozen teacher, a student, and a judge that learns beside it."""

    name = "judged"
    kind = "offline"

    def declared_roles(self):
        return [
            DeclaredRole("judge", "learns beside the student"),
            DeclaredRole("clerk", "too", default="test_vit"),
        ]

    def enroll(self, run):
        run.enroll("student", run.build("student"))
        run.enroll("teacher", run.build("teacher"), learns=False)
        run.enroll("judge", run.build("judge"))

    def arrows(self, run):
        return [("student", "teacher"), ("judge", "teacher")]


def test_a_role_that_needs_a_network_gets_one(subject_of, found):
    roles = subject_of(Judged).recipe().roles
    assert (roles["judge"].model, roles["clerk"].model) == ("test_efficientnet", "test_vit")
    assert found(Judged, "trained") == []


class Logits(Squares):
    """The same, without a stage."""

    taps = Taps()


class Uniform(Scheme):
    """What is taught is no answer of the teacher's network, which yet has its figure."""

    name = "uniform"
    kind = "offline"

    def enroll(self, run):
        run.enroll("student", run.build("student"))
        run.enroll("teacher", run.build("teacher"), learns=False)
        run.derive("teacher", lambda batch: Output(torch.zeros(len(batch), 10)))

    def arrows(self, run):
        return [("student", "teacher")]


def test_the_network_of_a_derived_teacher_has_its_figure_and_its_place_in_the_card(subject_of, tmp_path):
    subject = subject_of(Uniform, beside=Logits)
    recipe = subject.recipe(epochs=1)
    keep = KeepRun()
    result = train(recipe, tmp_path / "run", zoo=subject.zoo, listeners=[keep])
    with keep.run.roster.as_enrolled("teacher"):
        assert result["test/teacher"] == accuracy(keep.run, "teacher", keep.run.data.test)
    assert "teacher" not in keep.run.roles, "only inside the block"
    assert "distilled from test\\_resnet" in (tmp_path / "run" / "student" / "README.md").read_text()
