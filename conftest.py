"""What tests share: an own cache, no wandb login, and experiments that show what a method is good for."""

from __future__ import annotations

import os
import time

# Before torch is imported, here and in every child: threads of several processes on the same cores wait for
# each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kdzoo.api import Algorithm, Knowledge, Output, Scheme
    from kdzoo.engine.run import TrainingRun
    from kdzoo.zoo import Zoo


def pytest_addoption(parser):
    parser.addoption("--seeds", type=int, default=1, metavar="N", help="run each experiment with N seeds")


def pytest_collection_modifyitems(items):
    """Slow tests run where KDZOO_TEST_SLOW is set, as in CI: long experiments, builds, dozens of processes."""
    if os.environ.get("KDZOO_TEST_SLOW", "") not in ("", "0"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow; set KDZOO_TEST_SLOW=1"))


_BEGAN = time.monotonic()
_LATE = "slow, and KDZOO_TEST_SLOW_MINUTES are over"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """With KDZOO_TEST_SLOW_MINUTES=N no slow test begins after N minutes: a slow machine says what it left out."""
    minutes = float(os.environ.get("KDZOO_TEST_SLOW_MINUTES") or "inf")
    if time.monotonic() - _BEGAN > 60 * minutes and item.get_closest_marker("slow"):
        pytest.skip(_LATE)


def pytest_terminal_summary(terminalreporter):
    late = [one for one in terminalreporter.stats.get("skipped", []) if _LATE in str(one.longrepr)]
    if late:
        terminalreporter.section("left out")
        terminalreporter.line(f"Not begun after KDZOO_TEST_SLOW_MINUTES, {len(late)} of the slow tests:")
        for file, tests in sorted(Counter(one.nodeid.partition("::")[0] for one in late).items()):
            terminalreporter.line(f"{tests:5} {file}")


def pytest_generate_tests(metafunc):
    if "experiment_seed" in metafunc.fixturenames:
        seeds = range(metafunc.config.getoption("--seeds"))
        metafunc.parametrize("experiment_seed", seeds, ids=[f"seed{seed}" for seed in seeds])


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory, worker_id):
    """Tests neither read nor fill the user's cache; pytest's workers share one."""
    base = tmp_path_factory.getbasetemp()
    before = os.environ.get("KDZOO_CACHE")
    os.environ["KDZOO_CACHE"] = str((base if worker_id == "master" else base.parent) / "cache")
    yield
    os.environ.pop("KDZOO_CACHE")
    if before is not None:
        os.environ["KDZOO_CACHE"] = before


def _zoo_with(*components: type[Algorithm | Knowledge | Scheme]) -> Zoo:
    from kdzoo.api import Algorithm, Knowledge, Scheme
    from kdzoo.zoo import Zoo
    from kdzoo.zoo.plugin import Plugin
    from kdzoo.zoo.zoo import Found, Kind

    bases: Mapping[Kind, type] = {"knowledge": Knowledge, "scheme": Scheme, "algorithm": Algorithm}

    class Extended(Zoo):
        """What is installed, and the components of a test."""

        def components(self, kind: Kind) -> Mapping[str, list[Found]]:
            found = dict(super().components(kind))
            for one in components:
                if kind in bases and issubclass(one, bases[kind]):
                    found[one.name] = [Found(kind, one, self._provider(found.get(one.name, [])), one.name)]
            return found

        def _provider(self, before: list[Found]) -> Plugin:
            """The plugin whose component is replaced, else the core."""
            return before[0].plugin if before else next(p for p in self.plugins if p.distribution == "kdzoo")

    return Extended()


@pytest.fixture(scope="session")
def zoo_with() -> Callable[..., Zoo]:
    """zoo_with(Mine) -> a zoo of what is installed and these classes; one replaces a component of its kind and name.

    A test that wants to look into a component, or to have it do something else, passes a subclass of it here.
    """
    return _zoo_with


@dataclass(frozen=True, eq=False)
class Experiment:
    """A finished run: its result, and the run itself to look into."""

    result: Mapping[str, Any]
    run: TrainingRun

    @property
    def accuracy(self) -> float:
        """Test accuracy of the last epoch, in percent."""
        return float(self.result["test/last"])

    def answer(self, role: str, *stages: int, embedding: bool = False) -> Output:
        """What a network answers to the test split, in order, in eval mode."""
        import torch

        from kdzoo.api import Output

        network = self.run.roles[role].eval()
        with torch.no_grad():
            parts = [network(batch.inputs["image"], stages, embedding) for batch in self.run.data.test]
        return Output(
            torch.cat([part.logits for part in parts]),
            tuple(torch.cat(maps) for maps in zip(*(part.features for part in parts), strict=True)),
            torch.cat([part.embedding for part in parts]) if embedding else None,
        )


@pytest.fixture(scope="session")
def _train(tmp_path_factory) -> Callable[..., Experiment]:
    """Trains on digits; results are cached, since experiments share controls."""
    from kdzoo.cli.flags import KEYS, layer
    from kdzoo.jobs.train import train
    from kdzoo.recipe.layers import Layer, dotted
    from kdzoo.registry.load import load_registry
    from kdzoo.registry.resolve import resolve
    from kdzoo.testing.watch import KeepRun

    zoos = cache(_zoo_with)

    @cache
    def run(method: str, *components: type[Algorithm], **settings: Any) -> Experiment:
        zoo = zoos(*components)
        flags = {key: settings.pop(key) for key in list(settings) if key in KEYS}
        names = {"teacher": "test_resnet", "teacher_epochs": 12, "student": "test_efficientnet"}
        basic = layer(**{**names, "batch_size": 64, "val_fraction": 0.0, **flags})
        quiet = {"observers": [], "checkpoint_seconds": 1e9, **settings}
        recipe = resolve(
            zoo=zoo, registry=load_registry(zoo), method=method, layers=[*basic, Layer("test", dotted(quiet))]
        )
        keep = KeepRun()
        result = train(recipe, Path(tmp_path_factory.mktemp(method)) / "run", zoo=zoo, listeners=[keep])
        return Experiment(result, keep.run)

    return run


@pytest.fixture
def experiment(request, _train, experiment_seed) -> Callable[..., Experiment]:
    """experiment("kd", epochs=8, labels_per_class=0, **{"algorithm.task_weight": 0}) trains on digits to the end.

    Teacher: test_resnet, trained once in a session on all labels. Student: test_efficientnet. Batches of 64, so
    that an epoch of all 1,257 images has 19 steps, and one of up to 127 images has one. No validation split:
    nothing is chosen. The seed is 0; with --seeds N the test runs N times, with seeds 0 to N - 1. Algorithms that
    follow the method's name are of the test's own; see the fixture ``zoo_with``.
    """

    def run(method: str, *components: type[Algorithm], epochs: int, **settings: Any) -> Experiment:
        done = _train(method, *components, epochs=epochs, seed=experiment_seed, **settings)
        request.node.user_properties.append(("seconds", done.result["process_seconds"]))
        return done

    return run


@pytest.fixture
def beats(request) -> Callable[..., None]:
    """beats("accuracy, %", 98.1, 82.2, by=10) fails unless the first figure is above the second by the margin.

    benchmarks/effects.py makes its table of these figures and of the first line of the test's docstring.
    """
    claim = request.function.__doc__.splitlines()[0]

    def compare(measure: str, method: float, control: float, *, by: float) -> None:
        figures = {"claim": claim, "measure": measure, "method": method, "control": control, "margin": by}
        request.node.user_properties.append(("effect", figures))
        assert method >= control + by, f"{measure}: {method:.3g} against the control's {control:.3g}"

    return compare
