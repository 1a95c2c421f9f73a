import json

import pytest
import torch

from kdzoo.api import KdzooError
from kdzoo.cli.flags import layer
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.watch import KeepRun
from kdzoo.zoo import Zoo


class Watch(KeepRun):
    """Keeps the run, what is taught in it, who is updated, and what its roles weighed before the first step."""

    def __init__(self):
        super().__init__()
        self.batches, self.updates, self.before = [], [], None

    def step_began(self, run, batch, moment):
        if self.before is None:
            self.before = {role: state(module) for role, module in run.roles.items()}

    def taught(self, run, batch, loss):
        self.batches.append(batch)

    def updated(self, run, loss, roles):
        self.updates.append(roles)


def state(module):
    return {name: one.clone() for name, one in module.state_dict().items()}


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def trained(tmp_path, watch):
    """Two epochs of one step on 20 digits: the run, the figures of its epochs, and who was updated, in order."""
    zoo = Zoo()
    registry = load_registry(zoo)

    def go(method, **settings):
        flags = layer(
            teacher=settings.pop("teacher", "test_resnet"),
            student="test_efficientnet",
            epochs=2,
            batch_size=20,
            train_per_class=2,
            test_per_class=2,
            teacher_epochs=1,
            val_fraction=0.0,
        )
        extra = Layer("test", dotted({"observers": [], **settings}))
        recipe = resolve(zoo=zoo, registry=registry, method=method, layers=[*flags, extra])
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        watch.updates.clear()
        train(recipe, folder, zoo=zoo, listeners=[watch])
        events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        figures = [one["metrics"] for one in events if one["event"] == "epoch"]
        return watch.run, figures, list(watch.updates)

    return go


SMALL = {"algorithm.width": 4, "algorithm.batch_size": 12}


def test_the_generator_learns_and_the_teacher_does_not(trained, watch):
    run, figures, updates = trained(
        "gan-supplement",
        **SMALL,
        **{"algorithm.generator_steps": 2, "algorithm.student_steps": 3, "algorithm.picture_epochs": 2},
    )
    once = [("discriminator",), ("generator",)] * 2 + [("student", "knowledge")] * 3
    assert updates == once * 2
    for name, one in run.roles["teacher"].state_dict().items():
        assert torch.equal(one, watch.before["teacher"][name]), name
    after = run.roles["generator"].state_dict()
    moved = [name for name, _ in run.roles["generator"].named_parameters()]
    assert all(not torch.equal(after[name], watch.before["generator"][name]) for name in moved)
    assert {
        "train/confidence", "train/balance", "train/statistics", "train/told-apart", "train/fooling",
        "train/disagreement", "train/teach", "train/task",
    } <= figures[-1].keys()  # fmt: skip
    assert [one.name for one in run.folder.glob("pictures/generated-*")] == ["generated-0002.png"]


def test_without_supplement_it_is_plain_distillation(trained):
    off, figures, updates = trained("gan-supplement", **{"algorithm.supplement": False})
    plain, *_ = trained("kd", **{"algorithm.task_weight": 1.0, "algorithm.teach_weight": 1.0})
    assert updates == [("student", "knowledge")] * 2
    assert "train/confidence" not in figures[-1]
    for name, one in plain.roles["student"].state_dict().items():
        assert torch.equal(one, off.roles["student"].state_dict()[name]), name
    assert not list(off.folder.glob("pictures/generated-*"))


@pytest.mark.parametrize("knowledge", ["rkd", "fitnet", "dkd"])
@pytest.mark.parametrize("method", ["gan-supplement", "feature-gan"])
def test_other_knowledge_is_taught(trained, method, knowledge):
    small = SMALL if method == "gan-supplement" else {}
    _, figures, _ = trained(method, knowledge=knowledge, **small)
    assert figures[-1]["train/teach"] > 0


def test_generated_images_are_joined_to_the_real_ones_without_a_label(trained, watch):
    trained("gan-supplement", **SMALL)
    trained("gan-supplement", **SMALL, **{"data.augment.mixup": 0.2})
    plain, mixed = watch.batches[0], watch.batches[-1]
    assert len(plain) == len(mixed) == 32
    assert plain.index[20:].tolist() == plain.target[20:].tolist() == [-1] * 12
    assert (plain.target[:20] >= 0).all()
    assert plain.inputs["image"].shape[0] == 32
    assert mixed.target[20:].abs().sum() == 0
    torch.testing.assert_close(mixed.target[:20].sum(1), torch.ones(20))


def test_a_teacher_without_batch_norm_judges_without_statistics(trained):
    _, figures, _ = trained("gan-supplement", teacher="test_convnext", **SMALL)
    assert "train/statistics" not in figures[-1]
    assert "train/confidence" in figures[-1]


def test_student_and_discriminators_learn_in_turns(trained):
    run, figures, updates = trained("feature-gan", **{"algorithm.stages": (-2, -1)})
    assert updates == [("discriminators",), ("student", "student-view", "knowledge")] * 2
    assert {f"train/fool/{name}" for name in ("logits", "embedding", "stage-2", "stage-1")} <= figures[
        -1
    ].keys()
    assert len(list(run.roles["student-view"].parameters())) == 6
    assert 0 <= figures[-1]["train/told-apart/logits"] <= 1


def test_a_game_on_logits_alone_needs_no_labels_and_no_knowledge(trained):
    weights = {
        "algorithm.embedding_weight": 0.0, "algorithm.task_weight": 0.0, "algorithm.teach_weight": 0.0,
    }  # fmt: skip
    told, figures, updates = trained("feature-gan", **{"data.labels_per_class": 0}, **weights)
    assert updates == [("discriminators",), ("student", "knowledge")] * 2
    assert told.roles["discriminators"][0].layers[0].in_features == 20
    assert figures[-1]["train/teach"] == 0
    blind, *_ = trained("feature-gan", **weights, **{"algorithm.condition": "none"})
    assert blind.roles["discriminators"][0].layers[0].in_features == 10


@pytest.mark.parametrize("method", ["gan-supplement", "feature-gan"])
def test_the_teacher_judges_where_nothing_is_taught(trained, method):
    run, figures, _ = trained(method, **{"knowledge": None})
    assert "teacher" in run.roles
    assert figures[-1]["train/teach"] == 0


def test_labels_can_be_the_condition(trained):
    mixed = {"algorithm.condition": "label", "data.augment.mixup": 0.2}
    _, figures, _ = trained("feature-gan", **mixed)
    assert figures[-1]["train/fool/logits"] > 0


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("gan-supplement", {"scheme": "mutual"}, "no role 'teacher'; pass --teacher"),
        ("feature-gan", {"scheme": "mutual"}, "pass --teacher MODEL"),
        ("feature-gan", {"algorithm.logit_weight": 0, "algorithm.embedding_weight": 0}, "no discriminator"),
        ("feature-gan", {"algorithm.condition": "label", "data.labels_per_class": 0}, "condition=teacher"),
        ("feature-gan", {"algorithm.stages": [-9]}, "stages, -5 to -1"),
        (
            "gan-supplement",
            {"data.computed": {"edge": "edges"}, "roles.student.modality": "edge"},
            "edge and image; give both the same",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_training(trained, method, settings, message):
    with pytest.raises(KdzooError, match=message):
        trained(method, **settings)
