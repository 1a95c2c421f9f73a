"""The protocols: every suite can be planned as it is, says what its protocol says, and runs on a made set."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from kdzoo.bench.planner import Planner
from kdzoo.bench.suite import narrowed
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.decides import DataFacts
from kdzoo.recipe.layers import Layer
from kdzoo.registry.load import load_registry
from kdzoo.zoo import Zoo

ZOO = Zoo()
REGISTRY = load_registry(ZOO)
SUITES = {
    "cifar100-crd": 13,
    "cifar100-kd-strong": 10,
    "cifar10-attention": 3,
    "cifar10-attention-tenth": 1,
    "imagenet-r34-r18": 1,
    "imagenet-r50-mbv1": 1,
    "cifar100-224": 7,
    "cifar10-datafree": 1,
    "cifar10-robust": 1,
    "cifar10-lifelong": 1,
}
"""Name -> number of pairs."""

NOT_HERE = {
    *(
        "cmi",
        "diffkd",
        "dist-plus",
        "dot",
        "itrd",
        "kd++",
        "kd-dot",
        "kd-zero",
        "norm",
        "norm-kd",
        "pad-l2",
    ),
    *("sskd", "teacher", "ttm", "wkd", "wkd-f", "wkd-l", "wttm"),
}
"""Names in the published tables that are no methods of the registry."""


def planned(name, *layers, **less):
    planner = Planner(
        name,
        narrowed(REGISTRY.suites[name], **less),
        output=Path("nowhere"),
        zoo=ZOO,
        registry=REGISTRY,
        layers=[Layer("test", one) for one in layers],
        facts=lambda config, _: DataFacts("content", config.img_size or 32, AugmentConfig()),
    )
    return planner.plan()


def recipes(name, **less):
    """(method, pair) -> the recipe of the first seed."""
    runs = planned(name, seeds=(0,), **less).runs
    return {(run.entry.method, run.entry.pair): run.task.recipe for run in runs}


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_can_be_planned(name):
    suite = REGISTRY.suites[name]
    plan = planned(name, {"data": {"data_dir": "."}}, seeds=(0,))
    assert len(suite.pairs) == SUITES[name]
    assert {run.entry.pair for run in plan.runs} == {pair.name for pair in suite.pairs}
    assert not plan.refused
    assert {run.entry.method for run in plan.runs} == {suite.baseline, *suite.methods}


def test_the_protocol_of_crd_is_to_the_letter():
    found = recipes("cifar100-crd")
    for (method, pair), recipe in found.items():
        optim = recipe.optim
        assert (optim.opt, optim.momentum, optim.weight_decay) == ("momentum", 0.9, 0.0005)
        assert optim.lr == (0.01 if pair.endswith(("mbv2", "snv1", "snv2")) else 0.05)
        assert (optim.sched, optim.decay_epochs, optim.decay_rate) == ("multistep", (150, 180, 210), 0.1)
        assert optim.warmup_epochs == 0
        assert (recipe.data.batch_size, recipe.data.val_fraction) == (64, 0)
        assert recipe.epochs == (270 if method in ("ab", "ft", "fsp") else 240)
        if "teacher" in recipe.roles:
            teacher = recipe.roles["teacher"]
            assert (teacher.epochs, teacher.lr or optim.lr) == (240, 0.05)
    weights = {
        "fitnet": 100,
        "at": 1000,
        "sp": 3000,
        "cc": 0.02,
        "vid": 1,
        "rkd": 1,
        "pkt": 30000,
        "ft": 200,
        "nst": 50,
        "crd": 0.8,
        "kd": 0.9,
    }
    for method, weight in weights.items():
        assert found[method, "r32x4>r8x4"].algorithm.settings["teach_weight"] == weight
        assert found[method, "r32x4>r8x4"].algorithm.settings["task_weight"] == (0.1 if method == "kd" else 1)
    assert found["dist", "r56>r20"].knowledge[0].settings["temperature"] == 4  # 1 on ImageNet
    betas = {
        pair: recipe.knowledge[0].settings["beta"]
        for (method, pair), recipe in found.items()
        if method == "dkd"
    }
    assert (betas["r56>r20"], betas["r32x4>r8x4"], betas["w40-2>w16-2"]) == (2, 8, 6)


def test_review_has_the_weights_of_its_authors_script():
    found = recipes("cifar100-crd", methods=("reviewkd",))
    weights = {pair: recipe.algorithm.settings["teach_weight"] for (_, pair), recipe in found.items()}
    assert {pair: weights[pair] for pair in ("r56>r20", "r110>r32", "r32x4>snv2", "r32x4>r8x4")} == {
        "r56>r20": 0.6,
        "r110>r32": 1.0,
        "r32x4>snv2": 8.0,
        "r32x4>r8x4": 5.0,
    }
    assert found["reviewkd", "vgg13>vgg8"].knowledge[0].settings["stages"] == (-5, -4, -3, -2, -1)


def test_logit_standardisation_has_what_the_names_of_its_authors_logs_say():
    """For each pair a temperature, a weight, and for dkd a beta that the weight multiplies."""
    found = recipes("cifar100-crd", methods=("kd-ls", "dkd-ls"))
    kd, dkd = {}, {}
    for (method, pair), recipe in found.items():
        for one in recipe.knowledge:
            assert one.settings["standardize"]
            first = one.settings["temperature"]
            if method == "kd-ls":
                kd[pair] = first, recipe.algorithm.settings["teach_weight"]
            else:
                dkd[pair] = first, one.settings["alpha"], one.settings["beta"] / one.settings["alpha"]
    others = dict.fromkeys(kd, (2, 9))
    assert kd == others | {
        "r110>r20": (4, 12), "vgg13>vgg8": (3, 9), "vgg13>mbv2": (3, 9), "r50>mbv2": (3, 1),
    }  # fmt: skip
    assert dkd == dict.fromkeys(dkd, (2, 9, 8)) | {
        "w40-2>w16-2": (2, 12, 2), "w40-2>w40-1": (2, 12, 2), "r56>r20": (3, 12, 2), "r110>r20": (2, 15, 2),
        "r110>r32": (2, 15, 2), "vgg13>vgg8": (2, 15, 2), "vgg13>mbv2": (3, 9, 2), "r50>mbv2": (2, 15, 2),
    }  # fmt: skip
    strong = recipes("cifar100-kd-strong", methods=("mlkd-ls",))
    weights = {
        pair: one.algorithm.settings["teach_weight"]
        for (method, pair), one in strong.items()
        if method == "mlkd-ls"
    }
    six = ("vgg13>vgg8", "vgg13>mbv2", "r32x4>snv2")
    assert weights == dict.fromkeys(weights, 9) | dict.fromkeys(six, 6)


def test_the_tenth_is_a_tenth_of_the_length():
    whole, tenth = (REGISTRY.suites[f"cifar10-attention{end}"] for end in ("", "-tenth"))
    assert whole.epochs == 10 * tenth.epochs == 10 * tenth.pairs[0].teacher.epochs
    own, other = (suite.recipe["optim"] for suite in (whole, tenth))
    assert own["decay_epochs"] == [10 * one for one in other["decay_epochs"]]
    assert {**own, "decay_epochs": 0} == {**other, "decay_epochs": 0}
    assert whole.data == tenth.data


def test_stages_are_those_of_the_published_code():
    found = recipes("cifar100-crd", methods=("fitnet", "at", "fsp"))
    assert found["fitnet", "r32x4>r8x4"].knowledge[0].settings["stages"] == (-2,)
    assert found["fitnet", "r50>mbv2"].knowledge[0].settings["stages"] == (-3,)
    assert found["at", "r32x4>snv1"].knowledge[0].settings["stages"] == (-3, -2, -1)
    assert found["at", "vgg13>mbv2"].knowledge[0].settings["stages"] == (-4, -3, -2, -1)
    assert found["fsp", "vgg13>vgg8"].knowledge[0].settings["stages"] == (-5, -4, -3, -2, -1)
    assert ("fsp", "r50>mbv2") not in found


def test_teachers_are_shared_by_all_methods_of_a_suite():
    teachers = planned("cifar100-crd", seeds=(0,)).teachers
    models = {recipe.recipe.roles["teacher"].model for recipe in teachers.values()}
    assert len(teachers) == len(models) == 6


def test_published_figures_name_methods_of_the_registry():
    names = {figure.method for figure in REGISTRY.figures()}
    assert names - set(REGISTRY.methods) == NOT_HERE
    (kd,) = REGISTRY.figures(method="kd", suite="cifar100-crd", pair="r32x4>r8x4")
    assert (kd.value, kd.of) == (73.33, "last epoch, mean of 5 runs")
    assert [one.value for one in REGISTRY.figures(method="fsp", pair="w40-2>w40-1")] == []
    assert not REGISTRY.figures(method="srrl", suite="cifar100-crd")
    assert [one.value for one in REGISTRY.figures(method="srrl-kd", pair="r32x4>r8x4")] == [75.39]


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """cifar(classes) -> an image folder of 32 pixels, two images of each class for training and one for testing."""

    def make(classes):
        folder = tmp_path_factory.mktemp("cifar")
        random = np.random.default_rng(0)
        for split, count in (("train", 2), ("test", 1)):
            for label in range(classes):
                place = folder / split / f"class{label:02d}"
                place.mkdir(parents=True)
                for number in range(count):
                    pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(place / f"{number}.png")
        return folder

    return make


def bench(suite, folder, output, *more):
    """The leaderboard of the suite with one epoch, as JSON."""
    flags = ["--output", output, "--data-dir", folder, "--epochs", 1, "--seeds", 0, "--workers", 1, "--json"]
    keys = ["roles.teacher.epochs=1", "observers=[]", "data.workers=1", *more]
    command = [sys.executable, "-m", "kdzoo", "bench", suite, *flags, *(f"--{key}" for key in keys)]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


LITTLE = tuple(f"roles.{role}.model=cifar_resnet8.cifar10" for role in ("teacher", "student"))
RUNS = {
    "cifar100-crd": (20, "at", "r56>r20", "data.dataset=folder", "roles.teacher.model=cifar_resnet8"),
    "cifar100-kd-strong": (
        20,
        "mlkd-ls",
        "r32x4>r8x4",
        "data.dataset=folder",
        "roles.teacher.model=cifar_resnet8x4",
    ),
    "cifar10-attention": (10, "at-kd", "w16-2>w16-1"),
    "cifar10-attention-tenth": (10, "dkd", "w16-2>w16-1"),
    "imagenet-r34-r18": (4, "kd", "r34>r18", "roles.teacher.pretrained=false", "data.img_size=64"),
    "imagenet-r50-mbv1": (4, "dkd", "r50>mbv1", "roles.teacher.pretrained=false", "data.img_size=64"),
    "cifar100-224": (
        4,
        "ofa",
        "convnext-t>deit-t",
        "data.dataset=folder",
        "roles.teacher.model=convnext_atto",
    ),
    "cifar10-datafree": (10, "dafl", "r34>r18", *LITTLE),
    "cifar10-robust": (10, "rslad", "r34>r18", "data.val_fraction=0.5", *LITTLE),
    "cifar10-lifelong": (10, "icarl", "r18>r18", "epochs=5", *LITTLE),
}
"""Suite -> classes, a method, a pair, and what makes it small or does without a download."""

SETTINGS = {
    "dafl": {"algorithm.steps": 1, "algorithm.width": 4},
    "pgd-training": {"algorithm.steps": 1},
    "rslad": {"algorithm.steps": 1},
    "icarl": {"algorithm.memory": 10},
}
"""What makes a method small."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_runs_on_a_made_set(suite, cifar, tmp_path):
    classes, method, pair, *small = RUNS[suite]
    content = REGISTRY.suites[suite].model_dump(mode="json", exclude_unset=True)
    content["settings"] = content.get("settings", {}) | SETTINGS
    file = tmp_path / f"{suite}.yaml"
    file.write_text(yaml.safe_dump(content))
    more = (f"methods={method}", f"pairs={pair}", "data.batch_size=10", *small)
    found = bench(file, cifar(classes), tmp_path / "out", *more)
    (shown,) = found["pairs"]
    assert {row["entry"] for row in shown["rows"]} == {REGISTRY.suites[suite].baseline, method}
    assert not found["failures"]


@pytest.mark.slow
def test_a_row_runs_on_a_made_set(cifar, tmp_path):
    """The quickest of the pairs; the others are slow tests."""
    classes, method, pair, *small = RUNS["cifar10-attention"]
    found = bench(
        "cifar10-attention", cifar(classes), tmp_path / "out", f"methods={method}", f"pairs={pair}", *small
    )
    (shown,) = found["pairs"]
    assert shown["pair"] == "w16-2>w16-1"
    assert {row["entry"] for row in shown["rows"]} == {"baseline", "at-kd"}
