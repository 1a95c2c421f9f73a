"""No hidden order: task, teach and see may be called in any order and any number of times."""

from itertools import permutations

import pytest
import torch

from kdzoo.api import Batch, Lesson, Scheme

CALLS = {
    "task": lambda run, batch: run.task("student", batch),
    "teach": lambda run, batch: run.teach(batch),
    "see": lambda run, batch: run.see("student", batch).logits.sum(),
}


def counted(run):
    counts = {"student": 0, "teacher": 0}
    for role in counts:

        def count(module, given, answer, role=role):
            counts[role] += len(given[0]) > 2  # two samples show the shapes

        run.roles[role].register_forward_hook(count)
    return counts


@pytest.mark.parametrize(
    "order", [*permutations(CALLS), ("see", "task", "see", "teach", "task", "teach")], ids=str
)
def test_every_network_runs_once_in_the_first_step_and_in_a_later_one(make_run, order):
    run = make_run("fitnet")  # asks for a stage of both networks
    counts = counted(run)
    for number, batch in enumerate(run.data.train):
        batch = run.begin_step(number, batch)
        losses = [CALLS[call](run, batch) for call in order]
        assert counts == {"student": number + 1, "teacher": number + 1}
        run.update(torch.stack(losses).sum(), "student", "knowledge")
        run.end_step()


def test_the_order_changes_no_weight(make_run, batch):
    ended = []
    for order in permutations(("task", "teach")):
        run = make_run("fitnet")
        now = run.begin_step(0, batch)
        losses = {call: CALLS[call](run, now) for call in order}
        run.update(losses["task"] + losses["teach"], "student", "knowledge")
        ended.append(run.roles["student"].state_dict())
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])


def test_a_scheme_that_names_its_arrows_alone_gives_a_lesson_for_each():
    class Named(Scheme):
        name = "named"
        kind = "offline"

        def enroll(self, run):
            pass

        def arrows(self, run):
            return [("student", "teacher1"), ("student", "teacher2")]

    lessons = Named().lessons(None, None)
    assert [(one.student, one.teacher, one.weight) for one in lessons] == [
        ("student", "teacher1", 1.0),
        ("student", "teacher2", 1.0),
    ]
    assert isinstance(lessons[0], Lesson)


def test_draws_that_are_no_images_build_nothing(make_run, batch):
    """A phase may go over random draws, from which its algorithm makes images later."""
    run = make_run("fitnet")
    run.begin_step(0, Batch(torch.tensor([-1]), {"image": torch.rand(1, 3)}))
    assert not run.connectors
    run.teach(batch)
    assert list(run.connectors) == [("student", "teacher")]
