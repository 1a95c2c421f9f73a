"""What a listener is told, and when."""

import pytest

from kdzoo.engine.listeners import Listener
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.resolve import resolve


class Diary(Listener):
    def __init__(self):
        self.rows = []

    def run_began(self, run):
        self.rows.append(("run began", *run.roles))

    def run_ended(self, run):
        self.rows.append(("run ended",))

    def phase_began(self, run, phase, steps, epoch):
        self.rows.append(("phase began", phase.name, steps, epoch))

    def phase_ended(self, run, phase):
        self.rows.append(("phase ended", phase.name))

    def epoch_ended(self, run, phase, epoch, figures):
        self.rows.append(("epoch ended", epoch, "train/task" in figures))

    def step_began(self, run, batch, moment):
        self.rows.append(("step began", moment.epoch, moment.step, len(batch)))

    def step_ended(self, run, batch, figures, moment):
        self.rows.append(("step ended", moment.epoch, moment.step, sorted(figures)))

    def asked(self, run, role, batch):
        self.rows.append(("asked", role, len(batch)))

    def seen(self, run, role, batch, output):
        self.rows.append(("seen", role, tuple(output.logits.shape)))

    def taught(self, run, batch, loss):
        self.rows.append(("taught", loss.ndim))

    def updated(self, run, loss, roles):
        self.rows.append(("updated", *roles))


@pytest.fixture
def recipe(zoo, registry, tmp_path_factory):
    keys = {
        "roles.student.model": "test_efficientnet",
        "roles.teacher.model": "test_resnet",
        "roles.teacher.epochs": 1,
        "data.train_per_class": 2,
        "data.test_per_class": 2,
        "data.val_fraction": 0.0,
        "data.batch_size": 10,
        "epochs": 1,
        "observers": [],
    }
    return resolve(zoo=zoo, registry=registry, method="kd", layers=[Layer("test", dotted(keys))])


def test_a_run_is_told_in_order(zoo, recipe, tmp_path):
    diary = Diary()
    train(recipe, tmp_path / "run", zoo=zoo, listeners=[diary])
    step = [
        ("asked", "teacher", 10),
        ("seen", "teacher", (10, 10)),
        ("asked", "student", 10),
        ("seen", "student", (10, 10)),
        ("taught", 0),
        ("updated", "student", "knowledge"),
    ]
    shapes = [
        ("asked", "student", 2),
        ("seen", "student", (2, 10)),
        ("asked", "teacher", 2),
        ("seen", "teacher", (2, 10)),
    ]
    assert diary.rows == [
        ("run began", "student", "teacher"),
        ("phase began", "distill", 2, 0),
        *shapes,
        ("step began", 1, 1, 10),
        *step,
        ("step ended", 1, 1, ["task", "teach"]),
        ("step began", 1, 2, 10),
        *step,
        ("step ended", 1, 2, ["task", "teach"]),
        ("epoch ended", 1, True),
        ("phase ended", "distill"),
        ("run ended",),
    ]


def test_what_a_listener_raises_ends_the_run(zoo, recipe, tmp_path):
    class Angry(Listener):
        def step_ended(self, run, batch, figures, moment):
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        train(recipe, tmp_path / "run", zoo=zoo, listeners=[Angry()])
