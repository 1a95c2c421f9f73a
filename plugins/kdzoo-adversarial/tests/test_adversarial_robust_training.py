import importlib.util
import json

import pytest
import torch

from kdzoo.api import Batch, KdzooError
from kdzoo.cli.flags import layer
from kdzoo.engine.run import TrainingRun
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo
from kdzoo_adversarial import robustness
from kdzoo_adversarial.functional import ard_loss, rslad_loss
from kdzoo_adversarial.robust_training import RobustTraining
from kdzoo_adversarial.robustness import spread_out, under_autoattack, under_pgd

ZOO = Zoo()
REGISTRY = load_registry(ZOO)
CLEAN = "image (clean)"


@pytest.fixture
def _short(monkeypatch):
    """Measuring takes two steps, where it is not what is tested."""
    monkeypatch.setattr(robustness, "STEPS", 2)


short = pytest.mark.usefixtures("_short")


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


class Watch:
    """What happens in each step: the batches that were taught, the loss, and the run itself."""

    def __init__(self, monkeypatch):
        self.taught, self.losses, self.run = [], [], None
        self.look = lambda run: None
        teach, update = TrainingRun.teach, TrainingRun.update

        def teaching(run, batch, *, detach=True):
            self.run = run
            self.taught.append(batch)
            return teach(run, batch, detach=detach)

        def updating(run, loss, *roles):
            self.run = run
            self.look(run)
            self.losses.append((loss.detach(), roles))
            update(run, loss, *roles)

        monkeypatch.setattr(TrainingRun, "teach", teaching)
        monkeypatch.setattr(TrainingRun, "update", updating)


@short
@pytest.mark.parametrize("method", ["ard", "rslad"])
def test_the_student_sees_the_attacked_image_and_the_teacher_the_clean_one(
    method, teacher, monkeypatch, tmp_path
):
    watch, expected = Watch(monkeypatch), []

    def look(run):
        *clean, attacked = watch.taught[::-1]
        watch.taught.clear()
        image, moved = attacked.inputs[CLEAN], attacked.inputs["image"]
        assert 0 < (moved - image).abs().max() <= 8 / 255 + 1e-6
        with torch.no_grad():
            soft = run.roles["teacher"](image).logits
        hard = run.see("student", attacked).logits
        if method == "ard":
            assert not clean
            expected.append(ard_loss(hard, hard, soft, attacked.target).detach())
        else:
            torch.testing.assert_close(clean[0].inputs["image"], image, rtol=0, atol=0)
            expected.append(rslad_loss(hard, run.see("student", clean[0]).logits, soft).detach())

    watch.look = look
    result = train(recipe(method, teacher), tmp_path / "run", zoo=ZOO)
    found = [loss for loss, _ in watch.losses]
    assert len(found) == 1
    torch.testing.assert_close(found, expected)
    # Afterwards the teacher reads what it read before.
    right = [
        (watch.run.roles["teacher"](batch.inputs["image"]).logits.argmax(1) == batch.target).float()
        for batch in watch.run.data.test
    ]
    assert result["test/teacher"] == pytest.approx(100 * torch.cat(right).mean().item())


@short
def test_the_teacher_stays_as_it_was_and_every_weight_of_the_student_learns(teacher, monkeypatch, tmp_path):
    from safetensors.torch import load_file

    watch = Watch(monkeypatch)
    train(recipe("rslad", teacher), tmp_path / "run", zoo=ZOO)
    stored = load_file(teacher / "model.safetensors")
    state = watch.run.roles["teacher"].model.state_dict()
    assert state.keys() == stored.keys()
    for name, value in stored.items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=0)
    student = watch.run.members["student"]
    assert student.optimizer is not None
    for one in student.parameters:
        assert student.optimizer.state[one]["exp_avg"].abs().max() > 0


@short
def test_plain_adversarial_training_is_the_labels_of_attacked_images(monkeypatch, tmp_path):
    watch, seen = Watch(monkeypatch), []
    task = TrainingRun.task

    def remembering(run, role, batch):
        loss = task(run, role, batch)
        seen.append((batch, loss.detach()))
        return loss

    monkeypatch.setattr(TrainingRun, "task", remembering)
    result = train(recipe("pgd-training", None), tmp_path / "run", zoo=ZOO)
    assert not watch.taught
    [(batch, task_loss)], [(loss, _)] = seen, watch.losses
    assert (batch.inputs["image"] != batch.inputs[CLEAN]).any()
    torch.testing.assert_close(loss, task_loss)
    assert "test/robust" in result
    assert not [name for name in result if "teacher" in name]


@short
@pytest.mark.parametrize(("mode", "moves"), [("train", True), ("eval", False)])
def test_the_attack_runs_in_the_mode_that_is_asked_for(mode, moves, monkeypatch, tmp_path):
    seen = []
    attack = RobustTraining._attack

    def watching(self, run, clean, read):
        student = run.roles["student"].model
        before = student.bn1.running_mean.clone()
        images = attack(self, run, clean, read)
        assert student.training
        seen.append(bool((student.bn1.running_mean != before).any()))
        return images

    monkeypatch.setattr(RobustTraining, "_attack", watching)
    train(recipe("pgd-training", None, **{"algorithm.attack_mode": mode}), tmp_path / "run", zoo=ZOO)
    assert seen == [moves]


@short
def test_clean_and_robust_accuracy_are_in_the_metrics_and_on_the_card(teacher, tmp_path):
    result = train(recipe("ard", teacher, epochs=2), tmp_path / "run", zoo=ZOO)
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


@short
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
def test_other_knowledge_withheld_labels_and_other_modalities(method, settings, teacher, tmp_path):
    settings = dict(settings)
    if "checkpoint" in settings:
        teacher = settings.pop("checkpoint")
        settings["roles.teacher.epochs"] = 1
    result = train(recipe(method, teacher, **settings), tmp_path / "run", zoo=ZOO)
    assert "test/robust" in result
    alike = method != "pgd-training" and "roles.teacher.modality" not in settings
    assert ("test/robust/teacher" in result) == alike


@short
def test_without_a_label_the_attack_leads_away_from_the_students_own_answer(monkeypatch, tmp_path):
    seen = []
    objective = RobustTraining._objective

    def watching(self, run, clean, read, answer):
        grow = objective(self, run, clean, read, answer)
        with torch.no_grad():
            logits = answer(clean.inputs[read])
            seen.append((grow(clean.inputs[read]), logits, clean.target))
        return grow

    monkeypatch.setattr(RobustTraining, "_objective", watching)
    settings = {"data.labels_per_class": 1, "algorithm.attack_mode": "eval"}
    train(recipe("pgd-training", None, **settings), tmp_path / "run", zoo=ZOO)
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
