"""What a knowledge knows of its arrow, an algorithm of single lessons, and a scheme of the phase."""

import torch

from kdzoo.api import Algorithm, Knowledge, Lesson, Phase
from kdzoo.builtin.offline import Offline
from kdzoo.engine.lessons import Part
from kdzoo.engine.listeners import Listener


class Squares(Knowledge):
    name = "squares"
    kind = "response"

    def build(self, student, teacher, run):
        self.arrow = self.lesson.student, self.lesson.teacher

    def forward(self, student, teacher, batch):
        return (student.logits - teacher.logits).square().mean(1)


class Count(Listener):
    def __init__(self):
        self.losses = []

    def taught(self, run, batch, loss):
        self.losses.append(loss.detach())


TWO = [Lesson("student", "teacher", 0.5), Lesson("student", "second", 2.0)]


def with_two(make_run, batch, **more):
    run = make_run("kd", parts=[Part("squares", 1.0, Squares)], lessons=lambda run, batch: TWO, **more)
    run.enroll("second", run.build("teacher"), learns=False)
    run.begin_step(0, batch)
    return run


def test_a_knowledge_knows_its_arrow(make_run, batch):
    run = with_two(make_run, batch)
    run.teach(batch)
    assert {arrow: role.module.arrow for arrow, role in run.connectors.items()} == {
        ("student", "teacher"): ("student", "teacher"),
        ("student", "second"): ("student", "second"),
    }


def test_the_losses_of_single_lessons_add_up_to_the_distillation_loss(make_run, batch):
    listener = Count()
    run = with_two(make_run, batch, listeners=[listener])
    apart = run.taught(batch)
    assert [lesson for lesson, _ in apart] == TWO
    assert torch.equal(sum(loss for _, loss in apart), run.teach(batch))
    assert torch.equal(*listener.losses)
    run.update(apart[0][1], "student")  # one teacher alone


def test_one_process_reduces_to_a_copy(make_run):
    run, tensor = make_run("kd"), torch.ones(3, requires_grad=True)
    reduced = run.reduce(tensor, "sum")
    assert torch.equal(reduced, tensor)
    assert not reduced.requires_grad


def test_a_scheme_sees_the_phase(zoo_with, small_recipe, tmp_path):
    from kdzoo.jobs.train import train

    seen = []

    class Seeing(Offline):
        name = "seeing"

        def lessons(self, run, batch):
            seen.append(run.phase)
            return super().lessons(run, batch)

    class TwoPhases(Algorithm):
        name = "two-phases"

        def phases(self, run):
            def step(batch):
                run.update(run.teach(batch), "student", "knowledge")
                return {}

            yield Phase("first", run.data.train, step, 1)
            yield Phase("second", run.data.train, step, 1)

    recipe = small_recipe("kd", epochs=1)
    changed = recipe.model_copy(
        update={
            "scheme": recipe.scheme.model_copy(update={"name": "seeing"}),
            "algorithm": recipe.algorithm.model_copy(update={"name": "two-phases", "settings": {}}),
        }
    )
    train(changed, tmp_path / "run", zoo=zoo_with(Seeing, TwoPhases))
    half = len(seen) // 2
    assert seen == ["first"] * half + ["second"] * half


def test_the_work_of_a_run_is_counted_and_goes_on_after_a_resume(make_run, batch):
    run = with_two(make_run, batch)
    run.update(run.teach(batch) + run.task("student", batch), "student")
    expected = {"student_updates": 1, "student_images": len(batch), "teacher_images": 2 * len(batch)}
    assert run.work.counts == expected
    with torch.no_grad():
        run.see("student", batch)  # an evaluation
    assert run.work.counts == expected
    again = make_run("kd")
    again.begin_phase(1, 2)
    again.restore(run.state_dict(), 1)
    assert again.work.counts == expected
