"""The observers of examples/ in a run; their libraries are stand-ins that record the calls."""

import importlib
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdzoo.api import Job, RunFailed, RunStarted
from kdzoo.cli.flags import layer
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

FOLDER = Path(__file__).parents[2] / "examples"


class Calls:
    """Records calls of any method; some of them return something."""

    def __init__(self, **returns):
        self.made = []
        self._returns = returns

    def __getattr__(self, name):
        def call(*given, **named):
            self.made.append((name, given, named))
            return self._returns.get(name)

        return call

    def of(self, name):
        return [(given, named) for called, given, named in self.made if called == name]


@pytest.fixture
def load(tmp_path, monkeypatch):
    """load("mlflow") -> the module, installed as far as kdzoo looks."""

    def load(name):
        info = tmp_path / "site" / f"kdzoo_{name}-0.1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kdzoo-{name}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[kdzoo]\n{name} = kdzoo_{name}\n")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.syspath_prepend(str(FOLDER / f"kdzoo-{name}"))
        monkeypatch.delitem(sys.modules, f"kdzoo_{name}", raising=False)
        return importlib.import_module(f"kdzoo_{name}")

    return load


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "trackio"])
def test_its_package_names_its_module(name, load):
    project = tomllib.loads((FOLDER / f"kdzoo-{name}" / "pyproject.toml").read_text())
    module = load(name)
    assert project["project"]["entry-points"]["kdzoo"] == {name: module.__name__}
    (place,) = module.kdzoo_observers().values()
    module_name, _, cls = place.partition(":")
    assert module_name == module.__name__
    assert getattr(module, cls).name == name
    only = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert only == [f"{module.__name__}.py"]


def ran(observer, folder):
    zoo = Zoo()
    layers = [
        *layer(
            student="test_resnet",
            epochs=2,
            train_per_class=4,
            test_per_class=2,
            batch_size=8,
            val_fraction=0.0,
        ),
        Layer("test", dotted({"observers": [observer], "checkpoint_seconds": 1e9})),
    ]
    recipe = resolve(zoo=zoo, registry=load_registry(zoo), method="baseline", layers=layers)
    return train(recipe, folder, zoo=zoo)


def test_tensorboard(load, tmp_path, monkeypatch):
    load("tensorboard")
    writer, places = Calls(), []
    stand_in = SimpleNamespace(SummaryWriter=lambda place: places.append(place) or writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    result = ran({"name": "tensorboard", "every": 2}, tmp_path / "run")
    assert places == [str(tmp_path / "run" / "tensorboard")]
    scalars = [given for given, _ in writer.of("add_scalar")]
    assert [step for name, _, step in scalars if name == "train/task"] == [1, 2]
    assert [step for name, _, step in scalars if name == "step/train/task"] == [2, 4, 6, 8, 10]
    (picture,) = [given for given, _ in writer.of("add_image")]
    assert (picture[0], picture[1].shape[2]) == ("confusion", 3)
    texts = dict(given for given, _ in writer.of("add_text"))
    assert f'"test/last": {result["test/last"]}' in texts["result"]
    assert writer.made[-1][0] == "close"


def test_mlflow(load, tmp_path, monkeypatch):
    module = load("mlflow")
    made = SimpleNamespace(info=SimpleNamespace(run_id="r1"))
    client = Calls(create_run=made, create_experiment="e1")
    stand_in = SimpleNamespace(MlflowClient=lambda: client)
    monkeypatch.setitem(sys.modules, "mlflow", stand_in)
    result = ran("mlflow", tmp_path / "run")
    assert client.of("create_experiment") == [(("kdzoo",), {})]
    parameters = {given[1]: given[2] for given, _ in client.of("log_param")}
    assert parameters["roles.student.model"] == "test_resnet"
    metrics = [(given, named) for given, named in client.of("log_metric")]
    assert [named["step"] for given, named in metrics if given[1] == "train/task"] == [1, 2]
    assert (("r1", "result/test/last", result["test/last"]), {}) in metrics
    assert client.of("log_artifacts") == [(("r1", str(tmp_path / "run" / "student"), "student"), {})]
    assert client.of("set_terminated") == [(("r1", "FINISHED"), {})]

    failing = module.MLflow("other")
    failing.observe(RunStarted(tmp_path, Job("one"), {}))
    failing.observe(RunFailed("NotFinite"))
    failing.close()
    assert client.of("set_terminated")[1:] == [(("r1", "FAILED"), {})]


def test_trackio(load, tmp_path, monkeypatch):
    load("trackio")
    run = Calls()
    begun = []
    stand_in = SimpleNamespace(init=lambda **named: begun.append(named) or run)
    monkeypatch.setitem(sys.modules, "trackio", stand_in)
    result = ran({"name": "trackio", "project": "photos"}, tmp_path / "run")
    assert [(one["project"], one["name"], one["resume"]) for one in begun] == [("photos", "run", "never")]
    rows = [given[0] for given, _ in run.of("log")]
    assert [row.get("epoch") for row in rows] == [1, 2, None]
    assert rows[2]["result/test/last"] == result["test/last"]
    assert [name for name, *_ in run.made].count("finish") == 1


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "trackio"])
def test_without_its_library_the_run_goes_on(name, load, tmp_path, monkeypatch):
    load(name)
    library = {"tensorboard": "torch.utils.tensorboard"}.get(name, name)
    monkeypatch.setitem(sys.modules, library, None)
    assert ran(name, tmp_path / "run")["test/last"] >= 0
    warnings = [
        row for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines() if '"warning"' in row
    ]
    assert any(name in row for row in warnings)
