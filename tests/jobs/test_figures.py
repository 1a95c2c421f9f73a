"""The figures of one run are those of one network: the student as it is exported."""

from __future__ import annotations

import pytest

from kdzoo.engine.evaluate import accuracy
from kdzoo.jobs.train import train
from kdzoo.registry.load import load_registry
from kdzoo.testing import Subject
from kdzoo.testing.watch import KeepRun
from kdzoo.zoo import Zoo

ZOO = Zoo()
REGISTRY = load_registry(ZOO)
NEED_A_FILE = ("expert-labels",)


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in REGISTRY.methods if name not in NEED_A_FILE])
def test_validation_and_test_look_at_what_is_exported(method, tmp_path):
    algorithm = ZOO.find("algorithm", REGISTRY.methods[method].algorithm.name)
    keep = KeepRun()
    recipe = Subject(algorithm, ZOO, REGISTRY, method).recipe(
        **{"data.val_fraction": 0.5, "data.train_per_class": 8}
    )
    result = train(recipe, tmp_path / "run", zoo=ZOO, listeners=[keep])
    run = keep.run
    if run.data.val is not None:
        assert result["val/last"] == accuracy(run, "student", run.data.val)
    assert result["test/last"] == accuracy(run, "student", run.data.test)
    if result.get("epoch/chosen") == result["epochs"]:
        assert (result["val/chosen"], result["test/chosen"]) == (result["val/last"], result["test/last"])
