"""``kdzoo distill`` from the command line to a student that timm loads."""

import json
from pathlib import Path

import pytest
import timm
import torch
import yaml

from kdzoo.data.open import open_data
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.data import DataConfig

SMALL = (
    "--train-per-class",
    "20",
    "--test-per-class",
    "10",
    "--epochs",
    "2",
    "-b",
    "32",
    "--set",
    "observers=[]",
)
NETWORKS = ("--teacher", "test_resnet", "--student", "test_efficientnet", "--teacher-epochs", "10")
"""After three epochs the teacher is near chance on some processors, and the run warns of it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("distill")


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """One run through the command line, teacher included; its folder and what it printed."""
    import contextlib
    import io

    from kdzoo.cli import main as entry

    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setenv("KDZOO_CACHE", str(folder / "cache"))
        arguments = ("distill", "--method", "kd", *NETWORKS, *SMALL, "--output", folder / "run", "--json")
        patch.setattr("sys.argv", ["kdzoo", *map(str, arguments)])
        with contextlib.suppress(SystemExit):
            entry.main()
    return folder / "run", json.loads(out.getvalue())


def test_timm_loads_the_student_with_the_accuracy_that_was_recorded(finished):
    path, result = finished
    model = timm.create_model(f"local-dir:{path / 'student'}", pretrained=True).eval()
    data = open_data(DataConfig(test_per_class=10), seed=0, device=torch.device("cpu"))
    config = timm.data.resolve_model_data_config(model)
    mean, std = (torch.tensor(config[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    right = total = 0
    with torch.inference_mode():
        for batch in data.test:
            right += int((model((batch.inputs["image"] - mean) / std).argmax(1) == batch.target).sum())
            total += len(batch)
    assert total == 100
    assert 100 * right / total == pytest.approx(result["test/last"])


def test_the_run_is_fully_described(finished):
    path, result = finished
    rows = read_journal(path / "metrics.jsonl")
    notes = ["note", "note"]  # about the data and the teacher
    assert [row["event"] for row in rows] == ["start", *notes, "phase", "epoch", "epoch", "picture", "result"]
    assert rows[-1]["result"]["test/last"] == result["test/last"]
    provenance = json.loads((path / "provenance.json").read_text())
    assert provenance["plugins"].keys() == {"kdzoo", "kdzoo-response"}
    assert {"torch", "timm", "kdzoo", "python"} <= provenance["versions"].keys()
    assert len(provenance["data"]["hash"]) == len(provenance["teachers"]["teacher"]["hash"]) == 64
    assert provenance["peak_memory_mb"] > 0
    assert provenance["wall_seconds"] > 0
    assert provenance["unusual_modes"] == {}
    recipe = yaml.safe_load((path / "recipe.yaml").read_text())
    assert recipe["knowledge"] == {"name": "kd", "temperature": 4.0, "standardize": False}
    card = (path / "student" / "README.md").read_text()
    assert f"{result['test/last']:.2f} %" in card


def test_last_and_chosen_epoch_are_both_recorded_under_their_names(finished):
    path, result = finished
    epochs = [row for row in read_journal(path / "metrics.jsonl") if row["event"] == "epoch"]
    best = max(row["metrics"]["val/accuracy"] for row in epochs)
    first_best = next(row["epoch"] for row in epochs if row["metrics"]["val/accuracy"] == best)
    assert (result["epoch/chosen"], result["val/chosen"]) == (first_best, best)
    assert result["val/last"] == epochs[-1]["metrics"]["val/accuracy"]
    assert {"test/last", "test/chosen"} <= result.keys()


def test_the_teacher_is_trained_once_and_found_again(finished, folder, kdzoo, monkeypatch):
    monkeypatch.setenv("KDZOO_CACHE", str(folder / "cache"))
    (teacher,) = [path for path in (folder / "cache" / "teachers").iterdir() if path.is_dir()]
    before = (teacher / "metrics.jsonl").stat().st_mtime_ns
    more = ("--seed", "1", "--smoothing", "0.1", "--labels-per-class", "5")
    answer = kdzoo(
        "distill", "--method", "dkd", *NETWORKS, *SMALL, *more, "--output", folder / "second", "--json"
    )
    assert answer.code == 0, answer.err
    assert (teacher / "metrics.jsonl").stat().st_mtime_ns == before
    assert (
        json.loads(answer.out)["test/teacher"]
        == read_journal(teacher / "metrics.jsonl")[-1]["result"]["test/last"]
    )
    assert len([path for path in (folder / "cache" / "teachers").iterdir() if path.is_dir()]) == 1


def test_another_recipe_for_the_teacher_is_another_teacher(finished, folder, kdzoo, monkeypatch):
    monkeypatch.setenv("KDZOO_CACHE", str(folder / "cache"))
    flags = ("--teacher-lr", "0.001", "--teacher-epochs", "1", "--output", folder / "third", "--json")
    assert kdzoo("distill", "--method", "kd", *NETWORKS, *SMALL, *flags).code == 0
    assert len([path for path in (folder / "cache" / "teachers").iterdir() if path.is_dir()]) == 2


def test_whether_the_teacher_was_in_the_cache_does_not_change_the_student(
    finished, folder, kdzoo, monkeypatch
):
    monkeypatch.setenv("KDZOO_CACHE", str(folder / "cache"))
    answer = kdzoo("distill", "--method", "kd", *NETWORKS, *SMALL, "--output", folder / "again", "--json")
    assert answer.code == 0, answer.err
    first, again = (folder / name / "student" / "model.safetensors" for name in ("run", "again"))
    assert first.read_bytes() == again.read_bytes()


def test_an_exported_student_is_a_teacher_by_its_folder(finished, folder, kdzoo):
    path, result = finished
    flags = (
        "--teacher",
        f"local-dir:{path / 'student'}",
        "--student",
        "test_byobnet",
        "--output",
        folder / "next",
    )
    answer = kdzoo("distill", "--method", "kd", *SMALL, *flags, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["test/teacher"] == pytest.approx(result["test/last"])


def test_an_observer_that_fails_does_not_stop_the_run(folder, kdzoo, tmp_path, monkeypatch):
    info = tmp_path / "kdzoo_loud-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kdzoo-loud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[kdzoo]\nloud = kdzoo_loud\n")
    (tmp_path / "kdzoo_loud.py").write_text(
        "from kdzoo.api import Observer, hookimpl\n"
        "class Loud(Observer):\n"
        "    name = 'loud'\n"
        "    def observe(self, event): raise ValueError('too loud')\n"
        "@hookimpl\n"
        "def kdzoo_observers(): return [Loud]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    flags = ("--student", "test_efficientnet", "--output", tmp_path / "run", "--set", "observers=[loud]")
    assert kdzoo("distill", "--method", "baseline", *SMALL, *flags).code == 0
    warnings = [
        row["message"]
        for row in read_journal(tmp_path / "run" / "metrics.jsonl")
        if row["event"] == "warning"
    ]
    assert warnings == ["observer 'loud' failed and is dropped; the run goes on (ValueError: too loud)"]
    assert (Path(tmp_path) / "run" / "student" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "kd-test_efficientnet"),
        ({"scheme": {"name": "mutual"}}, "kd-mutual-test_efficientnet"),
        ({"knowledge": [{"name": "kd"}, {"name": "at", "weight": 10.0}]}, "kd-at-test_efficientnet"),
        ({"knowledge": None}, "kd-alone-test_efficientnet"),
    ],
)
def test_the_default_folder_names_components_that_are_not_the_methods_own(changes, name):
    from kdzoo.cli.distill import run_name
    from kdzoo.recipe.layers import Layer
    from kdzoo.registry.load import load_registry
    from kdzoo.registry.resolve import resolve
    from kdzoo.zoo import Zoo

    zoo = Zoo()
    registry = load_registry(zoo)
    roles = {"student": {"model": "test_efficientnet"}}
    if "scheme" not in changes:
        roles["teacher"] = {"model": "test_resnet"}
    recipe = resolve(
        zoo=zoo, registry=registry, method="kd", layers=[Layer("test", {"roles": roles, **changes})]
    )
    found = run_name(recipe, registry.methods["kd"]).replace("test_resnet-", "")
    assert found.startswith(f"{name}-digits")
