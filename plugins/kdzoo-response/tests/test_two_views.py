"""Every image twice, as training varies it and strongly varied."""

import copy
from types import SimpleNamespace

import pytest
import timm
import torch

import kdzoo
from kdzoo.api import Batch, KdzooError
from kdzoo.cli.flags import layer
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo
from kdzoo_response.functional import mlkd_loss
from kdzoo_response.two_views import TwoViews

WEIGHTS = {"algorithm.weak_weight": 0.5, "algorithm.strong_weight": 2.0}


def recipe(method, **settings):
    zoo = Zoo()
    flags = layer(
        teacher="test_resnet", student="test_efficientnet", epochs=2, batch_size=16, train_per_class=4,
        test_per_class=4,
    )  # fmt: skip
    extra = Layer("test", dotted({"observers": [], **settings}))
    return resolve(zoo=zoo, registry=load_registry(zoo), method=method, layers=[*flags, extra])


@pytest.mark.parametrize("method", ["mlkd-views", "mlkd-ls"])
def test_each_view_is_a_batch_with_a_task_and_a_lesson(method):
    torch.manual_seed(0)
    student, teacher = (
        timm.create_model(name, num_classes=5) for name in ("test_efficientnet", "test_resnet")
    )
    weak, strong = torch.randn(2, 8, 3, 32, 32)
    target = torch.arange(8) % 5
    alone = copy.deepcopy(student)
    distiller = kdzoo.Distiller(student, teacher, method=method, example=weak, settings=WEIGHTS).train()
    losses = distiller(weak, target, views=[strong])
    alone.train()
    tasks, lessons = [], []
    own = {"standardize": True, "temperatures": (2.0, 2.0, 3.0, 5.0, 6.0)} if method == "mlkd-ls" else {}
    for images in (weak, strong):  # in this order, each with batch statistics of its own
        with torch.no_grad():
            answer = teacher.eval()(images)
        logits = alone(images)
        tasks.append(torch.nn.functional.cross_entropy(logits, target))
        lessons.append(mlkd_loss(logits, answer, **own))
    task, teach = sum(tasks), 0.5 * lessons[0] + 2.0 * lessons[1]
    torch.testing.assert_close(losses["task"], task)
    torch.testing.assert_close(losses["teach"], teach)
    torch.testing.assert_close(losses["total"], 0.1 * task + (9.0 if own else 0.9) * teach)
    losses["total"].backward()
    assert all(one.grad is not None for one in student.parameters())
    for mine, theirs in zip(student.buffers(), alone.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_training_sets_own_function_does_not_stand_for_the_strong_view():
    networks = [timm.create_model(name, num_classes=5) for name in ("test_efficientnet", "test_resnet")]
    images, target = torch.randn(8, 3, 32, 32), torch.arange(8) % 5
    data = kdzoo.TrainingSet(target, lambda index: images[index])
    distiller = kdzoo.Distiller(*networks, method="mlkd-views", example=images, data=data).train()
    with pytest.raises(
        KdzooError, match=r"a strongly varied view of each image, such as fixmatch: pass views="
    ):
        distiller(images, target, index=torch.arange(8))


class Lent:
    """What the algorithm asks of a run, written down."""

    def __init__(self, batch):
        self.recipe = SimpleNamespace(data=SimpleNamespace(augment=None), epochs=3)
        self.data = SimpleNamespace(train=[batch], fetch=self.fetch)
        self.students = ("student",)
        self.asked = []

    def fetch(self, index, **how):
        self.asked.append((index, how))
        return "second"

    def task(self, role, view):
        return torch.tensor(2.0 if view == "second" else 1.0)

    def teach(self, view):
        return torch.tensor(20.0 if view == "second" else 10.0)

    def update(self, loss, *roles):
        self.updated = loss.item(), roles


def test_the_second_view_has_another_crop_and_its_own_operations():
    batch = Batch(torch.arange(4), {"image": torch.zeros(4, 3, 8, 8)}, None, 0.0)
    run = Lent(batch)
    algorithm = TwoViews(strong="trivial-augment", weak_weight=0.5, task_weight=3.0, teach_weight=4.0)
    (phase,) = algorithm.phases(run)
    assert phase.epochs == 3
    losses = phase.step(batch)
    assert run.asked == [(batch.index, {"view": 1, "auto_augment": "trivial-augment"})]
    assert run.updated == (3.0 * (1 + 2) + 4.0 * (0.5 * 10 + 20), ("student", "knowledge"))
    assert (losses["task"], losses["teach"]) == (3, 25)


def test_the_second_view_is_not_replayed_as_the_first(tmp_path, monkeypatch):
    """The store knows the training batches alone: a second run gives the same weights."""
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "cache"))
    first, second = (train(recipe("mlkd-views"), tmp_path / name, zoo=Zoo()) for name in "ab")
    plain = train(recipe("mlkd-views", store_gb=0), tmp_path / "c", zoo=Zoo())
    assert first["test/last"] == second["test/last"] == plain["test/last"]
    assert second["teacher/replayed"] == second["teacher/asked"] > 0
    models = [(tmp_path / name / "student" / "model.safetensors").read_bytes() for name in "abc"]
    assert models[0] == models[1] == models[2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data.augment.mixup": 0.2}, "mixup or cutmix blends two images"),
        ({"algorithm.strong": "random"}, "'random' is no automatic augmentation of kdzoo"),
    ],
)
def test_refused_in_one_line(settings, said, tmp_path):
    with pytest.raises(KdzooError, match=said) as refused:
        train(recipe("mlkd-views", **settings), tmp_path / "run", zoo=Zoo())
    assert "\n" not in str(refused.value)
