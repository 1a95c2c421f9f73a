"""Runs that are wrong where their end does not show it."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from kdzoo.api import Knowledge, Lesson, Phase, Taps
from kdzoo.testing.checks.repeat import interruptions


def only_one(findings, what, where):
    assert [str(one) for one in findings if what not in one.what or where not in one.where] == []
    assert len(findings) == 1


NEW_CHECKS = ("arrows", "trained", "in-place", "splits")


@pytest.mark.parametrize("check", NEW_CHECKS)
@pytest.mark.parametrize("kind", ["scheme", "algorithm"])
def test_nothing_is_found_in_a_right_one(found, pair, plain, kind, check):
    assert [str(one) for one in found({"scheme": pair, "algorithm": plain}[kind], check)] == []


def test_a_lesson_whose_roles_are_swapped(found, pair):
    class Swapped(pair):
        name = "swapped"

        def arrows(self, run):
            return [("teacher", "student")]

        def lessons(self, run, batch):
            return [Lesson("teacher", "student")]

    only_one(found(Swapped, "arrows"), "student of a lesson by 'student'", "role teacher")


def test_a_teacher_that_is_enrolled_to_learn(found, pair):
    class Learning(pair):
        name = "learning"

        def enroll(self, run):
            run.enroll("student", run.build("student"))
            run.enroll("teacher", run.build("teacher"))

    only_one(found(Learning, "teacher"), "enrolled to learn, although the scheme is offline", "role teacher")


def test_a_teacher_that_the_distillation_loss_moves(found, plain):
    class Undetached(plain):
        """Trains the teacher too, by a loss that it should only give."""

        name = "undetached"

        def phases(self, run):
            run.enroll("teacher", run.build("teacher"))

            def step(batch):
                teach = run.teach(batch, detach=False)
                run.update(teach + run.task("student", batch), "student", "teacher", "knowledge")
                return {"teach": teach}

            yield Phase("undetached", run.data.train, step, run.recipe.epochs)

    only_one(found(Undetached, "teacher"), "has a gradient for its parameters", "role teacher")


def test_a_role_that_is_never_updated(found, plain):
    class Forgetting(plain):
        name = "forgetting"

        def phases(self, run):
            run.enroll("head", nn.Linear(10, 10), student=False)

            def step(batch):
                loss = run.roles["head"](run.see("student", batch).logits).square().mean()
                run.update(loss, "student")
                return {"loss": loss}

            yield Phase("forgetting", run.data.train, step, run.recipe.epochs)

    only_one(found(Forgetting, "trained"), "have not moved in the whole run", "role head")


def test_a_role_that_is_frozen_after_its_phase_has_moved(found, plain):
    class Chain(plain):
        name = "chain"

        def phases(self, run):
            names = [f"helper{number}" for number in range(6)]
            for name in names:
                run.enroll(name, nn.Linear(10, 10), student=False)

            def step_of(*learning):
                def step(batch):
                    logits = run.see("student", batch).logits
                    loss = sum(run.roles[name](logits).square().mean() for name in names)
                    run.update(loss, *learning)
                    return {"loss": loss}

                return step

            yield Phase("helpers", run.data.train, step_of("student", *names), run.recipe.epochs)
            for name in names:
                run.enroll(name, run.roles[name], learns=False)
            yield Phase("after", run.data.train, step_of("student"), run.recipe.epochs)

    assert found(Chain, "trained") == []


def test_a_network_without_a_classifier_is_watched_too(found, plain):
    class Headless(plain):
        name = "headless"

        def phases(self, run):
            run.enroll("other", run.build("other", like="student", num_classes=0), learns=False)
            run.tap("other", embedding=True)

            def step(batch):
                with torch.no_grad():
                    run.see("other", batch)
                task = run.task("student", batch)
                run.update(task, "student")
                return {"task": task}

            yield Phase("headless", run.data.train, step, run.recipe.epochs)

    assert found(Headless, "in-place") == []


def test_connectors_that_are_never_updated(found, plain):
    class Mapped(Knowledge):
        name = "squares"
        kind = "feature"
        taps = Taps(embedding=True)

        def build(self, student, teacher, run):
            self.map = nn.Linear(student.embedded.shape[1], teacher.embedded.shape[1])

        def forward(self, student, teacher, batch):
            return (self.map(student.embedded) - teacher.embedded).square().mean(1)

    class Forgetting(plain):
        name = "forgetting"
        forgotten: ClassVar = ()

        def phases(self, run):
            def step(batch):
                loss = run.teach(batch) + run.task("student", batch)
                run.update(loss, "student")
                return {"loss": loss}

            yield Phase("forgetting", run.data.train, step, run.recipe.epochs)

    findings = found(Forgetting, "trained", beside=Mapped)
    only_one(findings, "have not moved in the whole run", "role knowledge/student<-teacher")


def test_an_optimizer_of_its_own_is_an_update_too(found, plain):
    class Own(plain):
        """Follows the student's logits with a layer outside of the roles, which its own optimizer trains."""

        name = "own"

        def phases(self, run):
            torch.manual_seed(0)
            layer = nn.Linear(10, 10)
            optimizer = torch.optim.SGD(layer.parameters(), 0.1)

            def step(batch):
                loss = layer(run.see("student", batch).logits).square().mean()
                loss.backward(inputs=list(layer.parameters()), retain_graph=True)
                optimizer.step()
                optimizer.zero_grad()
                run.update(run.task("student", batch) + run.teach(batch), "student", "knowledge")
                return {"loss": loss}

            yield Phase("own", run.data.train, step, run.recipe.epochs)

    assert found(Own, "trained") == []


@pytest.mark.parametrize("split", ["test", "val"])
@pytest.mark.parametrize("how", ["as the data of the phase", "in the step", "around the run"])
def test_training_on_another_split(found, plain, split, how):
    class Peeking(plain):
        name = "peeking"

        def phases(self, run):
            other = getattr(run.data, split) or run.data.train

            def step(batch):
                if how == "in the step":
                    batch = next(iter(other))
                loss = run.task("student", batch) + run.teach(batch)
                if how == "around the run":
                    logits = run.roles["student"](next(iter(other)).inputs["image"]).logits
                    loss = loss + logits.square().mean()
                run.update(loss, "student", "knowledge")
                return {"loss": loss}

            data = other if how == "as the data of the phase" else run.data.train
            yield Phase("peeking", data, step, run.recipe.epochs)

    findings = found(Peeking, "splits")
    assert {one.where for one in findings} == {f"split {split}"}


def test_evaluating_on_another_split_is_no_training(found, plain):
    class Careful(plain):
        name = "careful"

        def spoil(self, run, batch):
            with run.evaluating("student"):
                for one in run.data.val or ():
                    run.see("student", one)

    assert found(Careful, "splits") == []


@pytest.mark.parametrize(
    ("decompose", "name"),
    [
        (lambda one: torch.linalg.svdvals(one).sum(), "_linalg_svd"),
        (lambda one: torch.linalg.eigvalsh(one.T @ one).sum(), "_linalg_eigh"),
        (lambda one: torch.linalg.inv(one.T @ one + torch.eye(one.shape[1])).sum(), "_linalg_check_errors"),
        (lambda one: torch.linalg.cholesky(one.T @ one + torch.eye(one.shape[1])).sum(), "_linalg_check"),
    ],
    ids=["svd", "eigh", "inv", "cholesky"],
)
def test_a_decomposition_that_waits(found, plain, decompose, name):
    class Decomposing(plain):
        name = "decomposing"

        def spoil(self, run, batch):
            decompose(run.see("student", batch).logits.detach())

    findings = found(Decomposing, "wait")
    assert [one.what for one in findings if name in one.what]
    assert all("test_wrong_runs.py:" in one.where for one in findings)


@pytest.mark.parametrize("every", [2, *(pytest.param(one, marks=pytest.mark.slow) for one in (3, 4, 5))])
def test_state_that_is_missing_at_some_steps_only(found, plain, every):
    class Accumulating(plain):
        """Updates with the mean loss of some steps; what it has collected is not in the checkpoint."""

        name = "accumulating"

        def phases(self, run):
            collected = []

            def step(batch):
                loss = run.task("student", batch) + run.teach(batch)
                collected.append(torch.autograd.grad(loss, list(run.roles["student"].parameters())))
                if len(collected) == every:
                    for parameter, *gradients in zip(
                        run.roles["student"].parameters(), *collected, strict=True
                    ):
                        parameter.data -= 0.01 * sum(gradients)
                    collected.clear()
                return {"loss": loss}

            yield Phase("accumulating", run.data.train, step, run.recipe.epochs)

    assert {one.where for one in found(Accumulating, "resume")} >= {"role student"}


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 40, 97])
def test_the_interruptions_have_no_common_divisor(steps):
    stops = interruptions(steps)
    assert list(stops) == sorted(set(stops))
    assert len(stops) == 1 or not any(all(one % k == 0 for one in stops) for k in range(2, steps + 2))
    assert len(stops) == 2 or steps < 3


def test_figures_of_a_whole_split_are_the_same_after_a_resume(found, plain):
    class Counting(plain):
        """Counts the images of whole splits in each step, and at the end."""

        name = "counting"

        def phases(self, run):
            (phase,) = super().phases(run)

            def step(batch):
                run.state["seen"] = run.state.get("seen", 0) + sum(map(len, run.data.train))
                return phase.step(batch)

            yield Phase("counting", run.data.train, step, 1)
            yield Phase("test", run.data.test, lambda batch: {}, 1)

        def measure(self, run):
            counts = {f"test/{name}": sum(map(len, getattr(run.data, name))) for name in ("train", "test")}
            return {**counts, "test/seen": run.state["seen"]}

    assert [str(one) for one in found(Counting, "resume", **{"data.batch_size": 4})] == []
