"""What is looked for in a whole small run: a component that is wrong, and one that is right."""

import time
from dataclasses import replace
from typing import Annotated

import pytest
import torch
from pydantic import Field
from timm.layers import DropPath
from torch import nn

from kdzoo.api import Knowledge, Taps


class Right(Knowledge):
    """The squared distance of one stage's mean over the pixels."""

    name = "right"
    kind = "feature"
    taps = Taps(student=(-2,), teacher=(-2,))

    def build(self, student, teacher, run):
        self.project = nn.Linear(student.features[0].shape[1], teacher.features[0].shape[1])

    def forward(self, student, teacher, batch):
        ours, theirs = student.features[0].mean((2, 3)), teacher.features[0].mean((2, 3))
        return (self.project(ours) - theirs).square().mean(1)


RUN_CHECKS = ("teacher", "student-mode", "leak", "seed", "resume", "wait", "half", "kept-maps")


@pytest.mark.parametrize(
    "kind", ["knowledge", *(pytest.param(one, marks=pytest.mark.slow) for one in ("scheme", "algorithm"))]
)
def test_nothing_is_found_in_a_right_one(found, pair, plain, kind):
    component = {"knowledge": Right, "scheme": pair, "algorithm": plain}[kind]
    for check in RUN_CHECKS:
        assert [str(one) for one in found(component, check)] == []


def only_one(findings, what, where):
    assert len(findings) == 1, [str(one) for one in findings]
    assert what in findings[0].what
    assert where in findings[0].where
    assert findings[0].mend


def test_a_teacher_that_moves(found, pair):
    class Moving(pair):
        name = "moving"

        def spoil(self, run):
            with torch.no_grad():
                next(run.roles["teacher"].parameters()).add_(1e-3)

    only_one(found(Moving, "teacher"), "changed while it was frozen", "role teacher")


@pytest.mark.parametrize("layer", [nn.BatchNorm2d, nn.Dropout, DropPath])
def test_a_teacher_of_which_one_layer_is_in_train_mode(found, pair, layer):
    class Awake(pair):
        name = "awake"

        def enroll(self, run):
            super().enroll(run)
            run.roles["teacher"].add_module("more", layer(3) if layer is nn.BatchNorm2d else layer(0.1))

        def spoil(self, run):
            run.roles["teacher"].more.train()

    only_one(found(Awake, "teacher"), "in train mode, such as 'more'", "role teacher")


def test_a_teacher_that_collects_gradients(found, plain):
    class Collecting(plain):
        name = "collecting"

        def spoil(self, run, batch):
            teacher = run.roles["teacher"].requires_grad_(True)
            teacher(batch.inputs["image"]).logits.sum().backward()

    only_one(found(Collecting, "teacher"), "collects gradients", "role teacher")


def test_a_student_left_in_eval_mode(found, plain):
    class Asleep(plain):
        name = "asleep"

        def spoil(self, run, batch):
            run.roles["student"].eval()

    only_one(found(Asleep, "student-mode"), "in eval mode", "role student")


def test_a_student_that_is_put_back(found, plain):
    class Careful(plain):
        name = "careful"

        def spoil(self, run, batch):
            with run.evaluating("student"):
                run.see("student", batch)

    assert found(Careful, "student-mode") == []


def test_connectors_that_become_a_part_of_the_student(found):
    class Leaking(Right):
        name = "leaking"

        def build(self, student, teacher, run):
            super().build(student, teacher, run)
            run.roles["student"].register_buffer("connector", torch.zeros(3))

    only_one(found(Leaking, "leak"), "a tensor that its architecture has not", "tensor connector")


@pytest.mark.parametrize("source", ["an unseeded generator", "the time"])
def test_results_that_differ_under_the_same_seed(found, source):
    class Random(Right):
        name = "random"

        def build(self, student, teacher, run):
            super().build(student, teacher, run)
            self.generator = torch.Generator()
            self.generator.seed()

        def forward(self, student, teacher, batch):
            loss = super().forward(student, teacher, batch)
            if source == "the time":
                return loss * (1 + time.monotonic_ns() % 1_000_003)
            return loss * torch.rand(len(batch), generator=self.generator)

    findings = found(Random, "seed")
    assert {one.where for one in findings} >= {"role student", "role knowledge/student<-teacher"}


def test_figures_that_differ_with_equal_weights(found, plain):
    class Drawn(plain):
        name = "drawn"

        def measure(self, run):
            return {"test/drawn": float(time.monotonic_ns())}

    (finding,) = found(Drawn, "seed")
    assert finding.where == "figure test/drawn"


@pytest.mark.parametrize("kept", ["on the object", "in a buffer"])
def test_a_counter_that_a_resumed_run_has_not(found, kept):
    class Counting(Right):
        name = "counting"

        def __init__(self) -> None:
            super().__init__()
            self.calls = 0
            if kept == "in a buffer":
                del self.calls
                self.register_buffer("calls", torch.zeros(()))

        def forward(self, student, teacher, batch):
            self.calls = self.calls + 1
            return super().forward(student, teacher, batch) * self.calls

    findings = found(Counting, "resume")
    assert ("role student" in {one.where for one in findings}) == (kept == "on the object")


@pytest.mark.parametrize(
    ("look", "name"),
    [
        (lambda loss: loss.item(), "_local_scalar_dense"),
        (lambda loss: bool(loss > 0), "_local_scalar_dense"),
        (lambda loss: loss[None].tolist(), "tolist"),
        (lambda loss: loss.detach().cpu(), "cpu"),
        (lambda loss: loss.detach().numpy(), "numpy"),
        (lambda loss: loss[None][loss[None] > 0], "an index by a mask"),
    ],
    ids=["item", "if", "tolist", "cpu", "numpy", "mask"],
)
def test_a_step_in_which_the_host_waits(found, look, name):
    class Waiting(Right):
        name = "waiting"

        def forward(self, student, teacher, batch):
            loss = super().forward(student, teacher, batch).mean()
            look(loss)
            return loss

    only_one(found(Waiting, "wait"), name, "test_runs.py:")


def test_a_connector_in_the_half_precision_of_what_it_was_built_from(found):
    class Half(Right):
        name = "half"

        def build(self, student, teacher, run):
            super().build(student, teacher, run)
            self.project.to(student.features[0].dtype)

    only_one(found(Half, "half"), "RuntimeError", "precision bf16-mixed")


@pytest.mark.parametrize("detached", [False, True])
def test_maps_that_are_kept(found, detached):
    class Hoarding(Right):
        name = "hoarding"

        def __init__(self) -> None:
            super().__init__()
            self.maps: list[torch.Tensor] = []

        def forward(self, student, teacher, batch):
            self.maps.append(student.features[0].detach() if detached else student.features[0])
            return super().forward(student, teacher, batch)

    only_one(found(Hoarding, "kept-maps"), "still in memory", "role student")


def test_maps_that_no_tap_asked_for_are_found_too(found):
    class Hooked(Right):
        name = "hooked"

        def build(self, student, teacher, run):
            super().build(student, teacher, run)
            self.maps: list[torch.Tensor] = []
            first = next(one for one in run.roles["teacher"].modules() if isinstance(one, nn.Conv2d))
            first.register_forward_hook(lambda module, given, output: self.maps.append(output))

    only_one(found(Hooked, "kept-maps"), "still in memory", "role teacher")


@pytest.mark.parametrize("used", [True, False])
def test_a_share_of_the_run_that_shows_in_a_longer_one(found, plain, used):
    class Shared(plain):
        name = "shared"

        def __init__(self, share: Annotated[float, Field(gt=0, lt=1)] = 0.5) -> None:
            self.share = share if used else 0.5

        def phases(self, run):
            (phase,) = super().phases(run)
            yield replace(phase, epochs=max(1, round(self.share * run.recipe.epochs)))

    findings = found(Shared, "hyper-parameter")
    assert [one.item for one in findings] == ([] if used else ["share"])


def test_a_network_that_runs_once_more_in_the_first_step(found, pair):
    class Silent(pair):
        """Does not name its arrow, so the student is seen before anybody knows that a stage is wanted."""

        name = "silent"

        def arrows(self, run):
            return ()

    assert found(pair, "passes") == []
    assert found(Right, "passes") == []
    only_one(found(Silent, "passes"), "task, then teach: 2 passes in the first step", "role student")
