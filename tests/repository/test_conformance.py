"""Every component of this repository under every check of the conformance kit, and every method resumed.

With KDZOO_TEST_SLOW=1, as in CI; benchmarks/conformance.py makes docs/conformance.md of it.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from kdzoo.data.open import open_data
from kdzoo.registry.load import load_registry
from kdzoo.testing import Subject, outcomes, subjects_of
from kdzoo.zoo import Zoo
from kdzoo.zoo.zoo import HOOKS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

WITHOUT = os.environ.get("KDZOO_TEST_WITHOUT", "").split()
"""Checks that are left out."""

ROOT = Path(__file__).parents[2]
ZOO = Zoo()
OURS = {"kdzoo", *(path.name for path in (ROOT / "plugins").iterdir())}
REGISTRY = load_registry(ZOO)
PROVIDERS = {  # a package may bring networks and suites alone
    found.plugin.distribution
    for kind in HOOKS
    for several in ZOO.components(kind).values()
    for found in several
}
SUBJECTS = subjects_of(ZOO, REGISTRY, *sorted(OURS & PROVIDERS))


@pytest.fixture(scope="session")
def needed(tmp_path_factory):
    """Component -> keys of the small recipe that only its user can know."""
    labels = tmp_path_factory.mktemp("experts") / "labels.npy"
    data = open_data(SUBJECTS[0].recipe().data, seed=0, device=torch.device("cpu"))
    opinions = np.random.default_rng(0).dirichlet(np.ones(len(data.classes)), size=len(data.names))
    opinions[::2] = np.nan  # of every other digit nobody says anything
    np.save(labels, opinions)
    return {
        "experts": {"scheme.labels": str(labels), "scheme.missing": "skip"},
        "timm-task": {"knowledge": "kd"},
    }


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda one: f"{one.found.kind}-{one.found.name}")
def test_nothing_is_found(subject, needed, record_property):
    subject = subject.with_settings(**needed.get(subject.found.name, {}))
    component = subject.found
    record_property("component", [component.kind, component.name, component.plugin.distribution])
    found = []
    for outcome in outcomes(subject, without=WITHOUT):
        findings = list(map(str, outcome.findings))
        record_property("outcome", [outcome.check.name, outcome.exempt, outcome.exempt_items, findings])
        found += findings
    assert not found, "\n".join(found)


EXAMINED = {one.method for one in SUBJECTS}
OTHER_METHODS = [
    name for name, method in REGISTRY.methods.items() if method.package in OURS and name not in EXAMINED
]
"""Methods whose components are all examined in another one."""


@pytest.mark.parametrize("name", OTHER_METHODS)
def test_a_method_of_components_that_are_examined_elsewhere_resumes_too(name):
    algorithm = ZOO.find("algorithm", REGISTRY.methods[name].algorithm.name)
    subject = Subject(algorithm, ZOO, REGISTRY, name)
    (outcome,) = outcomes(subject, only=["resume"])
    assert outcome.exempt is None
    assert not outcome.findings, "\n".join(map(str, outcome.findings))
