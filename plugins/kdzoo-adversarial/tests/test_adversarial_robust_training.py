import importlib.util
import json

import pytest
import torch
from torch.nn.functional import cross_entropy

from kdzoo.api import Batch, KdzooError
from kdzoo.cli.flags import layer
from kdzoo.engine.listeners import Listener
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.watch import KeepRun
from kdzoo.zoo import Zoo
from kdzoo_adversarial.functional import ard_loss, rslad_loss
from kdzoo_adversarial.robust_training import RobustTraining
from kdzoo_adversarial.robustness import spread_out, under_autoattack, under_pgd

ZOO = Zoo()
REGISTRY = load_registry(ZOO)
CLEAN = "image (clean)"


class Short(RobustTraining):
    """Measuring takes two steps, where it is not what is tested."""

    measured_steps = 2


@pytest.fixture
def short(zoo_with):
    return zoo_with(Short)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The exported student of a run, as a robust teacher comes."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    train(recipe("pgd-training", None, student="test_resnet"), folder, zoo=ZOO)
    return folder / "student"


def recipe(method, teacher, student="test_efficientnet", **settings):
    flags = layer(student=student, teacher="test_resnet", epochs=1, batch_size=16)
    small = {
        "data.train_per_class": 2,  # one step an epoch
        "data.test_per_class": 1,
        "data.val_fraction": 0.02,
        "algorithm.steps": 2,
        "observers": [],
    }
    if teacher:
        small["roles.teacher.checkpoint"] = str(teacher)
    return resolve(
        zoo=ZOO,
        registry=REGISTRY,
        method=method,
        layers=[*flags, Layer("test", dotted({**small, **settings}))],
    )


class Watch(KeepRun):
    """Keeps the run, what the student answered to each batch that it was taught, and each loss."""

    def __init__(self):
        super().__init__()
        self.lessons, self.losses = [], []

    def taught(self, run, batch, loss):
        self.lessons.append((batch, run.see("student", batch).logits.detach().clone()))

    def updated(self, run, loss, roles):
        self.losses.append(loss.detach())


@pytest.mark.parametrize("method", ["ard", "rslad"])
def test_the_student_sees_the_attacked_image_and_the_teacher_the_clean_one(method, teacher, short, tmp_path):
    watch = Watch()
    result = train(recipe(method, teacher), tmp_path / "run", zoo=short, listeners=[watch])
    (attacked, hard), *plain = watch.lessons
    image, moved = attacked.inputs[CLEAN], attacked.inputs["image"]
    assert 0 < (moved - image).abs().max() <= 8 / 255 + 1e-6
    with torch.no_grad():
        soft = watch.run.roles["teacher"](image).logits
    if method == "ard":
        assert not plain
        expected = ard_loss(hard, hard, soft, attacked.target)
    else:
        [(clean, easy)] = plain
        torch.testing.assert_close(clean.inputs["image"], image, rtol=0, atol=0)
        expected = rslad_loss(hard, easy, soft)
    torch.testing.assert_close(watch.losses, [expected])
    # Afterwards the teacher reads what it read before.
    right = [
        (watch.run.roles["teacher"](batch.inputs["image"]).logits.argmax(1) == batch.target).float()
        for batch in watch.run.data.test
    ]
    assert result["test/teacher"] == pytest.approx(100 * torch.cat(right).mean().item())


def test_the_teacher_stays_as_it_was_and_every_weight_of_the_student_learns(teacher, short, tmp_path):
    from safetensors.torch import load_file

    watch = KeepRun()
    train(recipe("rslad", teacher), tmp_path / "run", zoo=short, listeners=[watch])
    stored = load_file(teacher / "model.safetensors")
    state = watch.run.roles["teacher"].model.state_dict()
    assert state.keys() == stored.keys()
    for name, value in stored.items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=0)
    student = watch.run.members["student"]
    assert student.optimizer is not None
    for one in student.parameters:
        assert student.optimizer.state[one]["exp_avg"].abs().max() > 0


class Answers(Watch):
    """Keeps what the student answered in each step too."""

    def __init__(self):
        super().__init__()
        self.answers = []

    def seen(self, run, role, batch, output):
        if output.logits.requires_grad:
            self.answers.append((role, batch, output.logits.detach().clone()))


def test_plain_adversarial_training_is_the_labels_of_attacked_images(short, tmp_path):
    watch = Answers()
    result = train(recipe("pgd-training", None), tmp_path / "run", zoo=short, listeners=[watch])
    assert not watch.lessons
    [(role, batch, logits)], [loss] = watch.answers, watch.losses
    assert role == "student"
    assert (batch.inputs["image"] != batch.inputs[CLEAN]).any()
    torch.testing.assert_close(
        loss, cross_entropy(logits, batch.target, label_smoothing=watch.run.recipe.smoothing)
    )
    assert "test/robust" in result
    assert not [name for name in result if "teacher" in name]


class Statistics(Listener):
    """Whether the student's statistics moved between the begin of a step and its answer to the attacked images."""

    def __init__(self):
        self.moved, self._before = [], None

    def step_began(self, run, batch, moment):
        self._before = run.roles["student"].model.bn1.running_mean.clone()

    def asked(self, run, role, batch):
        student = run.roles["student"].model
        if role == "student" and self._before is not None:
            assert student.training
            self.moved.append(bool((student.bn1.running_mean != self._before).any()))
            self._before = None


@pytest.mark.parametrize(("mode", "moves"), [("train", True), ("eval", False)])
def test_the_attack_runs_in_the_mode_that_is_asked_for(mode, moves, short, tmp_path):
    look = Statistics()
    job = recipe("pgd-training", None, **{"algorithm.attack_mode": mode})
    train(job, tmp_path / "run", zoo=short, listeners=[look])
    assert look.moved == [moves]


def test_clean_and_robust_accuracy_are_in_the_metrics_and_on_the_card(teacher, short, tmp_path):
    result = train(recipe("ard", teacher, epochs=2), tmp_path / "run", zoo=short)
    events = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    epochs = [event["metrics"] for event in events if event["event"] == "epoch"]
    assert len(epochs) == 2
    for metrics in epochs:
        assert {"val/accuracy", "val/robust", "val/robust/teacher", "train/attacked-teach"} <= metrics.keys()
        assert 0 <= metrics["val/robust"] <= 100
    assert epochs[0]["val/robust/teacher"] == epochs[1]["val/robust/teacher"]
    assert {"test/last", "test/robust", "test/robust/teacher"} <= result.keys()
    card = (tmp_path / "run" / "student" / "README.md").read_text()
    assert f"| {result['test/robust']:.2f} % |" in card.split("## Under attack")[1]


def test_the_exported_student_is_the_one_that_was_attacked(tmp_path):
    import timm

    from kdzoo.api import Backbone
    from kdzoo.data.open import open_data

    job = recipe("pgd-training", None, **{"algorithm.epsilon": 0.004, "epochs": 8, "optim.lr": 0.01})
    result = train(job, tmp_path / "run", zoo=ZOO)
    model = timm.create_model(f"local-dir:{tmp_path / 'run' / 'student'}", pretrained=True)
    network = Backbone(model, input_size=(28, 28)).eval()
    data = open_data(job.data, seed=0, device=torch.device("cpu"))
    found = under_pgd(lambda images: network(images).logits, data.test, "image", 0.004, seed=0)
    assert found == pytest.approx(result["test/robust"])


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("ard", {"knowledge": "rkd"}),
        ("rslad", {"knowledge": "fitnet"}),
        ("ard", {"data.labels_per_class": 1}),
        ("rslad", {"data.labels_per_class": 0, "algorithm.val_images": 0}),
        ("pgd-training", {"data.augment.mixup": 0.4}),
        ("ard", {"data.computed": {"edges": "edges"}, "roles.teacher.modality": "edges", "checkpoint": None}),
    ],
)
def test_other_knowledge_withheld_labels_and_other_modalities(method, settings, teacher, short, tmp_path):
    settings = dict(settings)
    if "checkpoint" in settings:
        teacher = settings.pop("checkpoint")
        settings["roles.teacher.epochs"] = 1
    result = train(recipe(method, teacher, **settings), tmp_path / "run", zoo=short)
    assert "test/robust" in result
    alike = method != "pgd-training" and "roles.teacher.modality" not in settings
    assert ("test/robust/teacher" in result) == alike


def test_without_a_label_the_attack_leads_away_from_the_students_own_answer(zoo_with, tmp_path):
    seen = []

    class Watching(Short):
        def _objective(self, run, clean, read, answer):
            grow = super()._objective(run, clean, read, answer)
            with torch.no_grad():
                logits = answer(clean.inputs[read])
                seen.append((grow(clean.inputs[read]), logits, clean.target))
            return grow

    settings = {"data.labels_per_class": 1, "algorithm.attack_mode": "eval"}
    train(recipe("pgd-training", None, **settings), tmp_path / "run", zoo=zoo_with(Watching))
    [(value, logits, target)] = seen
    assert (target == -1).any()
    assert (target != -1).any()
    goal = torch.where(target == -1, logits.argmax(1), target)
    torch.testing.assert_close(value, -logits.log_softmax(1)[torch.arange(len(goal)), goal].sum())


def test_what_cannot_work_is_refused_before_training(teacher, monkeypatch, tmp_path):
    def refused(match, job):
        with pytest.raises(KdzooError, match=match):
            train(job, tmp_path / match[:4], zoo=ZOO)
        assert not (tmp_path / match[:4] / "metrics.jsonl").exists()

    refused("has none: take", recipe("pgd-training", None, **{"algorithm.objective": "teacher"}))
    refused("all weights", recipe("ard", teacher, **{"algorithm.attacked_teach_weight": 0.0}))
    auto = recipe("ard", teacher, **{"algorithm.final_attack": "autoattack"})
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "pyautoattack" else find_spec(name, *rest),
    )
    refused(r"pip install 'kdzoo-adversarial\[autoattack\]'", auto)


def points(values, target):
    """One-pixel images."""
    image = torch.tensor(values).view(-1, 1, 1, 1)
    return Batch(torch.arange(len(image)), {"image": image}, torch.tensor(target))


def threshold(images):
    """Class 1 above 0.5, class 0 below; classes 2 and 3 never."""
    x = 40 * (images.flatten(1) - 0.5)
    return torch.cat([-x, x, torch.full_like(x, -50), torch.full_like(x, -60)], dim=1)


def test_pgd_finds_what_can_be_found_and_nothing_else():
    # Off the border by 0.02, 0.08 and 0.12; a fourth is wrong before; a fifth has no label.
    batch = points([0.52, 0.42, 0.62, 0.30, 0.52], [1, 0, 1, 1, -1])
    for epsilon, right in ((0.01, 3), (0.05, 2), (0.1, 1), (0.2, 0)):
        assert under_pgd(threshold, [batch], "image", epsilon, seed=0) == 100 * right / 4


def test_measuring_twice_gives_the_same():
    torch.manual_seed(0)
    batch = points([0.5 + 0.001 * number for number in range(40)], [1] * 40)
    first = under_pgd(threshold, [batch], "image", 0.02, seed=3)
    torch.rand(3)
    assert under_pgd(threshold, [batch], "image", 0.02, seed=3) == first


@pytest.mark.parametrize("most", [1, 7, 10, 23, 24, 100])
def test_a_part_of_a_split_is_spread_over_it(most):
    sizes = (10, 3, 1, 10)
    split, before = [], 0
    for size in sizes:
        index = torch.arange(before, before + size)
        split.append(Batch(index, {"image": index.view(-1, 1, 1, 1).float()}, index % 2))
        before += size
    taken = spread_out(split, most)
    index = torch.cat([batch.index for batch in taken])
    every = -(-24 // most)
    assert index.tolist() == list(range(0, 24, every))
    assert len(index) <= most
    for batch in taken:
        assert batch.inputs["image"].flatten().tolist() == batch.index.tolist()
        assert (batch.target == batch.index % 2).all()


def test_autoattack_finds_what_can_be_found_and_leaves_the_common_generator_alone():
    pytest.importorskip("pyautoattack")
    batch = points([0.52, 0.42, 0.90, 0.30, 0.52], [1, 0, 1, 1, -1])
    state = torch.random.get_rng_state()
    with torch.no_grad():
        assert under_autoattack(threshold, [batch], "image", 0.1, seed=0) == 25
    assert torch.equal(torch.random.get_rng_state(), state)
