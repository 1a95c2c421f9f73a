"""What tests share: an own cache, no wandb login, and one teacher trained on the embedded digits."""

from __future__ import annotations

import os

# Before torch is imported, here and in every child: threads of several processes on the same cores wait for
# each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kdzoo.engine.run import TrainingRun


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


@dataclass(frozen=True)
class Experiment:
    """A finished run: its result, and the run itself to look into."""

    result: Mapping[str, Any]
    run: TrainingRun

    @property
    def accuracy(self) -> float:
        """Test accuracy of the last epoch, in percent."""
        return float(self.result["test/last"])


@pytest.fixture(scope="session")
def experiment(tmp_path_factory) -> Callable[..., Experiment]:
    """experiment("kd", labels_per_class=0, **{"algorithm.task_weight": 0}) trains on digits to the end.

    Teacher: test_resnet, trained once in a session on all labels. Student: test_efficientnet. No validation
    split: nothing is chosen.
    """
    import torch

    from kdzoo.cli.flags import KEYS, layer
    from kdzoo.engine.loop import Loop
    from kdzoo.engine.train import train
    from kdzoo.recipe.layers import Layer, dotted
    from kdzoo.recipe.resolve import resolve
    from kdzoo.registry.load import load_registry
    from kdzoo.zoo import Zoo

    zoo = Zoo()

    def run(method: str, *, epochs: int = 20, seed: int = 0, **settings: Any) -> Experiment:
        flags = {key: settings.pop(key) for key in list(settings) if key in KEYS}
        names = {"teacher": "test_resnet", "teacher_epochs": 20, "student": "test_efficientnet"}
        basic = layer(**{**names, "epochs": epochs, "seed": seed, "batch_size": 64, "val_fraction": 0.0, **flags})
        quiet = {"observers": [], "checkpoint_seconds": 1e9, **settings}
        recipe = resolve(
            zoo=zoo, registry=load_registry(zoo), method=method, layers=[*basic, Layer("test", dotted(quiet))]
        )
        loops: list[Loop] = []
        original = Loop.train

        def remembering(loop: Loop, *arguments: Any) -> Any:
            loops.append(loop)
            return original(loop, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Loop, "train", remembering)
            result = train(recipe, Path(tmp_path_factory.mktemp(method)) / "run", zoo=zoo)
        torch.set_grad_enabled(True)
        return Experiment(result, loops[-1].run)

    return run
