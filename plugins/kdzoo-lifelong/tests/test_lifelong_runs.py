"""Short lives on a few digits: what is built, kept, measured, exported and refused."""

import functools
import itertools
import json
import operator
import subprocess
import sys
from types import SimpleNamespace

import pytest
import timm
import torch

import kdzoo_lifelong
from kdzoo.api import Backbone, KdzooError, Output
from kdzoo.cli.flags import KEYS, layer
from kdzoo.engine.evaluate import accuracy
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.watch import KeepRun, StopAfter
from kdzoo.zoo import Zoo
from kdzoo_lifelong.cosine import LocalSimilarity, embedding_width
from kdzoo_lifelong.curriculum import cut, sizes
from kdzoo_lifelong.expanded import Expanded
from kdzoo_lifelong.growing import inherit
from kdzoo_lifelong.lifelong import cross_entropy

SMALL = {
    "epochs": 1,
    "batch_size": 16,
    "train_per_class": 6,
    "test_per_class": 4,
    "student": "test_efficientnet",
}
ZOO = Zoo()


def recipe(method, **settings):
    flags = {**SMALL, "val_fraction": 0.0} | {key: settings.pop(key) for key in list(settings) if key in KEYS}
    quiet = {"observers": [], "checkpoint_seconds": 1e9, **settings}
    layers = [*layer(**flags), Layer("test", dotted(quiet))]
    return resolve(zoo=ZOO, registry=load_registry(ZOO), method=method, layers=layers)


class KeepSelves(KeepRun):
    """Keeps the run, and what ``previous`` weighed when each task began."""

    def __init__(self):
        super().__init__()
        self.previous = {}

    def phase_began(self, run, phase, steps, epoch):
        if phase.name.startswith("task") and "previous" in run.roles:
            self.previous[int(phase.name.removeprefix("task"))] = state(run.roles["previous"])


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """life("lwf", **settings): a run to its end, with its folder and ``previous`` as it was when each task began."""
    done = {}

    def run(method, **settings):
        key = method, *sorted(settings.items())
        if key in done:
            return done[key]
        keep = KeepSelves()
        folder = tmp_path_factory.mktemp("life") / "run"
        result = train(recipe(method, **settings), folder, zoo=ZOO, listeners=[keep])
        done[key] = SimpleNamespace(run=keep.run, result=result, folder=folder, previous=keep.previous)
        return done[key]

    return run


def state(module):
    return {name: one.detach().clone() for name, one in module.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def accuracy_by_name(logits_of, names, run):
    """Percent of test images whose highest logit's name is that of their class."""
    right = total = 0
    for batch in run.data.test:
        found = logits_of(batch.inputs["image"]).argmax(1).tolist()
        right += sum(
            names[one] == run.data.classes[label]
            for one, label in zip(found, batch.target.tolist(), strict=True)
        )
        total += len(batch)
    return 100 * right / total


def test_the_plugin_announces_itself_without_torch():
    assert list(kdzoo_lifelong.kdzoo_knowledge()) == ["lwf", "old-sigmoids", "pod"]
    assert list(kdzoo_lifelong.kdzoo_schemes()) == ["previous-self"]
    assert list(kdzoo_lifelong.kdzoo_algorithms()) == ["lifelong", "icarl", "podnet", "der"]
    script = "import sys, kdzoo_lifelong; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_classes_are_shared_out_equally():
    assert sizes(10, 5) == (2, 2, 2, 2, 2)
    assert sizes(10, 4) == (3, 3, 2, 2)
    assert sizes(100, 6, 50) == (50, 10, 10, 10, 10, 10)
    assert sizes(10, 1) == sizes(10, 1, 10) == (10,)


def arrival(seed, classes=10):
    data = SimpleNamespace(classes=tuple("0123456789"[:classes]), labels=torch.arange(classes))
    run = SimpleNamespace(data=data, device=torch.device("cpu"))
    return cut(run, tasks=2, first=None, order_seed=seed)


def test_the_order_of_arrival_is_seeded():
    seen = [arrival(seed).tasks[-1].seen for seed in (0, 1, None)]
    assert len(set(seen)) == 3
    assert seen[2] == tuple(range(10))
    assert arrival(1).tasks[-1].seen == seen[1]
    one = arrival(0)
    assert one.columns_of(torch.tensor(seen[0])).tolist() == list(range(10))
    assert one.task_of.tolist() == [0] * 5 + [1] * 5
    assert one.tasks[1].before == one.tasks[0].classes == seen[0][:5]


def test_the_earlier_self_is_what_the_student_was_and_stays_so(life):
    lwf = life("lwf", **{"algorithm.tasks": 3})
    run, names = lwf.run, lwf.run.roles["student"].label_names
    previous = run.roles["previous"]
    assert previous.label_names == names[:7]
    assert (previous.num_classes, run.roles["student"].num_classes) == (7, 10)
    assert equal(state(previous), lwf.previous[3])
    assert not equal(lwf.previous[2], lwf.previous[3])
    assert not any(one.requires_grad for one in previous.parameters())


def test_a_head_grows_by_rows():
    torch.manual_seed(0)
    old, new = (timm.create_model("test_resnet", num_classes=count) for count in (3, 5))
    own = new.fc.weight.detach().clone()
    inherit(new, old)
    torch.testing.assert_close(new.fc.weight[:3], old.fc.weight)
    torch.testing.assert_close(new.fc.weight[3:], own[3:])
    assert torch.equal(new.conv1[0].weight if hasattr(new.conv1, "__len__") else new.conv1.weight,
                       old.conv1[0].weight if hasattr(old.conv1, "__len__") else old.conv1.weight)  # fmt: skip
    with pytest.raises(ValueError, match=r"does not fit in \(3, "):
        inherit(old, new)


def test_figures_are_those_of_the_matrix_and_of_the_student(life):
    replay = life("replay", **{"algorithm.tasks": 3, "algorithm.memory": 20})
    figures = json.loads((replay.folder / "lifelong" / "accuracy-matrix.json").read_text())
    matrix, known = figures["class-incremental"], figures["task-incremental"]
    assert [len(row) for row in matrix] == [1, 2, 3]
    assert figures["test_images"] == [16, 12, 12]
    assert functools.reduce(operator.iadd, figures["tasks"], []) == list(
        replay.run.roles["student"].label_names
    )
    last = sum(a * b for a, b in zip(matrix[-1], figures["test_images"], strict=True)) / 40
    assert last == pytest.approx(replay.result["test/last"], abs=1e-3)
    assert all(
        a <= b for row, other in zip(matrix, known, strict=True) for a, b in zip(row, other, strict=True)
    )
    lost = ((max(matrix[0][0], matrix[1][0]) - matrix[2][0]) + (matrix[1][1] - matrix[2][1])) / 2
    assert replay.result["test/forgetting"] == pytest.approx(lost, abs=1e-3)
    assert len(list((replay.folder / "pictures").glob("accuracy-matrix-*.png"))) == 3
    rows = [json.loads(line) for line in (replay.folder / "metrics.jsonl").read_text().splitlines()]
    shown = [row.get("metrics", row) for row in rows]
    assert sum("class-incremental/task1" in row for row in shown) == 3


def test_memory_keeps_its_budget_and_what_it_kept(life):
    total = life("replay", **{"algorithm.tasks": 3, "algorithm.memory": 20}).run
    kept = [total.state[f"lifelong/memory/{number}"] for number in (1, 2, 3)]
    assert [[len(rows) for rows in lists] for lists in kept] == [[5] * 4, [2] * 7, [2] * 10]
    for earlier, later in itertools.pairwise(kept):
        for long, short in zip(earlier, later, strict=False):
            assert torch.equal(long[: len(short)], short)
    for rows, name in zip(kept[-1], total.roles["student"].label_names, strict=True):
        assert {total.data.classes[one] for one in total.data.labels[rows].tolist()} == {name}


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("lwf", {"algorithm.tasks": 3}),
        ("icarl", {"algorithm.tasks": 2, "algorithm.memory": 20, "student": "test_resnet"}),
    ],
)
def test_the_exported_student_is_plain_timm_and_answers_by_name(life, method, settings):
    one = life(method, **settings)
    model = timm.create_model(f"local-dir:{one.folder / 'student'}", pretrained=True).eval()
    names = model.pretrained_cfg["label_names"]
    assert tuple(names) == one.run.roles["student"].label_names != one.run.data.classes
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        found = accuracy_by_name(lambda images: model((images - mean) / std), names, one.run)
    assert found == pytest.approx(one.result["test/last"])
    assert "| task 2 | " in (one.folder / "student" / "README.md").read_text()


def test_icarl_answers_by_the_nearest_mean(life):
    icarl = life("icarl", **{"algorithm.tasks": 2, "algorithm.memory": 20, "student": "test_resnet"})
    run, student = icarl.run, icarl.run.roles["student"].eval()
    assert student.classifier.bias.abs().sum() == 0
    means = []
    with torch.no_grad():
        for rows in run.state["lifelong/memory/2"]:
            features = student(run.data.fetch(rows, view=None).inputs["image"], (), True).embedding
            mean = torch.nn.functional.normalize(features, dim=1).mean(0)
            means.append(mean / mean.norm())
        for batch in run.data.test:
            answer = student(batch.inputs["image"], (), True)
            features = torch.nn.functional.normalize(answer.embedding, dim=1)
            nearest = torch.cdist(features, torch.stack(means)).argmin(1)
            assert (nearest == answer.logits.argmax(1)).all()


@pytest.mark.parametrize("method", ["podnet", "der"])
def test_an_assembled_student_is_exported_as_a_program(life, method):
    one = life(method, **{"algorithm.tasks": 2, "algorithm.memory": 20, "algorithm.memory_budget": "class"})
    names = json.loads((one.folder / "student" / "config.json").read_text())["label_names"]
    assert tuple(names) == one.run.roles["student"].label_names
    program = torch.export.load(one.folder / "student" / "model.pt2").module()
    with torch.no_grad():
        found = accuracy_by_name(program, names, one.run)
    assert found == pytest.approx(one.result["test/last"])
    assert equal(state(one.run.roles["previous"]), one.previous[2])


def test_der_freezes_the_earlier_backbones_and_trains_a_classifier_on_equal_numbers(life):
    der = life("der", **{"algorithm.tasks": 2, "algorithm.memory": 20, "algorithm.memory_budget": "class"})
    student = der.run.roles["student"]
    first, second = student.backbones
    before = {
        name.removeprefix("backbones.0."): one
        for name, one in der.previous[2].items()
        if name.startswith("backbones.0.")
    }
    assert equal(state(first), before)
    assert not equal(state(second), before)
    assert student.classifier.in_features == 2 * student.width
    phases = (der.folder / "metrics.jsonl").read_text()
    assert "balance2" in phases
    assert "balance1" not in phases


def backbone(name="test_resnet"):
    return Backbone(timm.create_model(name, num_classes=1), input_size=(32, 32))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_every_parameter_that_learns_has_a_gradient(name):
    torch.manual_seed(0)
    generator, images = torch.Generator().manual_seed(0), torch.rand(4, 3, 32, 32)
    similar = LocalSimilarity(backbone(name), 4, 3, 2.0, generator)
    answer = similar(images, (-2, -1), True)
    assert answer.logits.shape == (4, 4)
    assert answer.embedding.shape == (4, similar.proxies.shape[2])
    assert len(answer.features) == 2
    answer.logits.square().sum().backward()
    assert all(one.grad is not None for one in similar.parameters())
    assert similar.proxies.grad.abs().sum(2).min() > 0
    assert similar.scale.grad != 0

    parts = [backbone(name), backbone(name)]
    width = embedding_width(parts[0])
    for one in parts:
        one.model.reset_classifier(0)
    expanded = Expanded(parts, width, 4, generator)
    expanded.requires_grad_(True).train()
    assert [one.training for one in expanded.backbones] == [False, True]
    answer = expanded(images, (), True)
    assert answer.embedding.shape == (4, 2 * width)
    answer.logits.square().sum().backward()
    frozen, learning = (list(one.parameters()) for one in expanded.backbones)
    assert all(one.grad is None for one in frozen)
    assert all(one.grad is not None for one in [*learning, *expanded.classifier.parameters()])


def test_images_of_other_classes_teach_the_new_columns_nothing():
    logits = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    cross_entropy(logits, torch.tensor([1, -2, 2])).backward()
    assert (logits.grad[0] != 0).all()
    assert (logits.grad[1:] == 0).all()
    assert cross_entropy(logits, torch.tensor([-1, -1, 5])).item() == 0


@pytest.mark.parametrize(
    ("knowledge", "package"),
    [("kd", "kdzoo-response"), ("rkd", "kdzoo-relation"), ("old-sigmoids", "kdzoo-lifelong")],
)
def test_other_knowledge_is_taught(life, knowledge, package):
    if not ZOO.has(package):
        pytest.skip(f"{package} is not installed")
    other = life("lwf", **{"algorithm.tasks": 2, "knowledge": knowledge})
    alone = life("finetune", **{"algorithm.tasks": 2})
    assert other.run.roles["student"].num_classes == 10
    assert not equal(state(other.run.roles["student"]), state(alone.run.roles["student"]))


def test_maps_are_taught_to_the_whole_student(life):
    pod = life("lwf", **{"algorithm.tasks": 2, "knowledge": "pod", "scheme.taught": "student"})
    assert pod.result["test/last"] >= 0
    with pytest.raises(KdzooError, match="compares 4 stages"):
        life("lwf", **{"algorithm.tasks": 2, "knowledge": "pod"})


@pytest.mark.parametrize(
    ("method", "settings", "sentence"),
    [
        ("lwf", {"algorithm.tasks": 11}, "algorithm.tasks 11: the data has 10 classes"),
        ("lwf", {"algorithm.first_task": 8}, "leaves 2 for 4 further tasks"),
        ("lwf", {"algorithm.tasks": 1, "algorithm.first_task": 8}, "leaves 2 for 0 further tasks"),
        ("lwf", {"data.labels_per_class": 0}, "class '0' has no labelled training image"),
        ("icarl", {"algorithm.memory": 9}, "algorithm.memory 9: too small for 10 classes"),
        ("replay", {"data.augment.mixup": 0.5}, "set data.augment.mixup and data.augment.cutmix to 0"),
        ("podnet", {"algorithm.tasks": 10}, "the first task has one class"),
        ("podnet", {"knowledge.stages": [-9]}, "shows 5 stages"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(method, settings, sentence, tmp_path):
    with pytest.raises(KdzooError, match=sentence):
        train(recipe(method, **settings), tmp_path / "run", zoo=ZOO, listeners=[StopAfter(0)])
    assert not (tmp_path / "run" / "student").exists()


def test_a_student_that_knows_all_classes_is_refused(life, tmp_path):
    known = life("finetune", **{"algorithm.tasks": 2, "algorithm.class_order_seed": None}).folder / "student"
    with pytest.raises(KdzooError, match="would tell it the later ones"):
        train(recipe("lwf", **{"roles.student.checkpoint": str(known)}), tmp_path / "run", zoo=ZOO)


def test_pod_refuses_another_network():
    from kdzoo_lifelong.pod import Pod

    maps = [Output(torch.zeros(2, 2), (torch.zeros(2, 3, 4, side),), torch.zeros(2, 3)) for side in (4, 5)]
    with pytest.raises(KdzooError, match="take scheme 'previous-self'"):
        Pod(stages=(-1,)).build(*maps, run=None)


def test_all_figures_of_icarl_are_those_of_what_is_exported(life):
    one = life("icarl", **{"val_fraction": 0.3, "algorithm.tasks": 2, "algorithm.memory": 20})
    assert "test/chosen" not in one.result
    assert one.result["val/last"] == accuracy(one.run, "student", one.run.data.val)
    assert one.result["test/last"] == accuracy(one.run, "student", one.run.data.test)
    rows = [row for row in read_journal(one.folder / "metrics.jsonl") if row["event"] == "epoch"]
    assert not any("val/accuracy" in row["metrics"] for row in rows), "the sigmoids do not answer"
    assert rows[-1]["metrics"]["class-incremental"] == pytest.approx(one.result["test/last"])
