"""``kdzoo sweep init``: a file that wandb's agents can work with."""

import pytest
import yaml

from kdzoo.cli.sweep import parameters
from kdzoo.recipe.layers import Layer, parse_set
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

PAIR = ("--teacher", "resnet50", "--student", "resnet18")


@pytest.fixture
def written(kdzoo, tmp_path):
    def write(method, *more):
        file = tmp_path / "sweep.yaml"
        answer = kdzoo("sweep", "init", method, *PAIR, "--file", file, *more)
        assert (answer.code, answer.err) == (0, "")
        assert f"  wandb sweep {file}" in answer.out.splitlines()
        return yaml.safe_load(file.read_text())

    return write


def test_its_program_is_kdzoo_distill(written):
    sweep = written("kd", "--set", "optim.opt=sgd", "--epochs", "7")
    assert sweep["program"] == "kdzoo"
    more = ["--epochs", "7", "--set", "optim.opt=sgd"]
    assert sweep["command"] == ["${env}", "${program}", "distill", "--method", "kd", *PAIR, *more, "${args}"]
    assert sweep["metric"] == {"name": "val/accuracy", "goal": "maximize"}
    assert sweep["parameters"]["knowledge.temperature"] == {
        "distribution": "log_uniform_values", "min": 1.0, "max": 20.0
    }  # fmt: skip


def test_what_is_given_is_fixed_for_all_runs(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = written("kd", "--lr", "0.02", "--amp", "--data-dir", "photos", "--set", "knowledge.temperature=2")
    assert not {"optim.lr", "knowledge.temperature"} & set(sweep["parameters"])
    assert "algorithm.teach_weight" in sweep["parameters"]
    words = sweep["command"]
    assert words[words.index("--data-dir") + 1] == str(tmp_path / "photos")
    assert words[words.index('precision="bf16-mixed"') - 1 :][:2] == ["--set", 'precision="bf16-mixed"']


@pytest.mark.parametrize("method", ["kd", "at-kd", "crd", "dml", "ema", "fitnet", "rkd", "semckd"])
def test_every_value_that_it_tries_is_one_that_distill_takes(method):
    zoo = Zoo()
    registry = load_registry(zoo)
    layers = [Layer("test", {"roles": {"student": "resnet18", "teacher": "resnet50"}})]
    recipe = resolve(zoo=zoo, registry=registry, method=method, layers=layers)
    found = dict(parameters(recipe, zoo))
    assert "optim.lr" in found
    for key, one in found.items():
        for value in one.get("values", [one.get("min"), one.get("max")]):
            given = Layer("--set", parse_set([f"{key}={value}"]))  # as an agent passes it: True, 0.4
            tried = resolve(zoo=zoo, registry=registry, method=method, layers=[*layers, given])
            assert tried.optim == recipe.optim or key.startswith("optim.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("kdd", *PAIR), "unknown method 'kdd'"),
        (("kd",), "which networks?"),
        (("kd", *PAIR, "--set", "data.val_fraction=0"), "compares runs by validation"),
        ((), "missing argument METHOD (kdzoo sweep init --help)"),
    ],
)
def test_bad_input_writes_nothing(kdzoo, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    answer = kdzoo("sweep", "init", *arguments)
    assert answer.code == 2
    assert says in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "sweep.yaml").exists()


def test_a_file_is_not_overwritten(kdzoo, written, tmp_path):
    written("kd")
    answer = kdzoo("sweep", "init", "dkd", *PAIR, "--file", tmp_path / "sweep.yaml")
    assert (answer.code, "pass --force" in answer.err) == (2, True)
    assert written("dkd", "--force")["name"] == "dkd resnet18"


def test_each_run_of_a_sweep_has_a_folder_of_its_own(kdzoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    small = [
        "--train-per-class",
        2,
        "--test-per-class",
        2,
        "--epochs",
        1,
        "--batch-size",
        8,
        "--val-fraction",
        0,
    ]
    for run in ("one", "two"):
        monkeypatch.setenv("WANDB_RUN_ID", run)
        answer = kdzoo(
            "distill",
            "--method",
            "baseline",
            "--student",
            "test_resnet",
            *small,
            "--set",
            "observers=[console]",
        )
        assert answer.code == 0, answer.err
    assert sorted(path.name for path in (tmp_path / "runs" / "sweeps" / "abc").iterdir()) == ["one", "two"]
