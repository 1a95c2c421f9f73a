"""Every product of installed knowledge and scheme takes two steps, without a line of code for the pair.

Those that cannot, by their nature, are refused with a sentence, and the table in docs/crossings.md lists them; it is
written by benchmarks/crossings.py.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from kdzoo.engine.components import algorithm_of
from kdzoo.engine.weights import weights_hash
from kdzoo.errors import KdzooError
from kdzoo.zoo import Zoo

TABLE = Path(__file__).parents[2] / "docs" / "crossings.md"


def cross(make_run, zoo, knowledge, scheme, settings):
    """None if the product runs, else the sentence that refuses it."""
    given = {
        "knowledge.name": knowledge,
        "scheme.name": scheme,
        "roles.peer.model": "test_byobnet",
        **settings,
    }
    try:
        run = make_run("kd", **given)
        before = {role: weights_hash(run.roles[role]) for role in run.students}
        phase = next(algorithm_of(run.recipe, zoo).phases(run))
        for number, batch in enumerate(phase.data):
            batch = run.begin_step(number, batch)
            values = phase.step(batch)
            run.end_step()
            assert torch.isfinite(values["teach"])
    except KdzooError as error:
        return general(str(error))
    assert number == 1
    assert run.finite
    assert values["teach"].detach() != 0, "at the second step, when a warm-up has begun"
    for role in run.students:
        assert weights_hash(run.roles[role]) != before[role]
    return None


def general(sentence):
    """A refusal without the names and numbers of one case."""
    return re.sub(r"\d+", "N", re.sub(r"(?<!\w)'[^']+'(?!\w)", "…", sentence))


def refused():
    """(knowledge, scheme) -> why not, as the table in the docs has it."""
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            for knowledge in re.findall(r"`([^`]+)`", cells[0]):
                for scheme in re.findall(r"`([^`]+)`", cells[1]):
                    found[knowledge, scheme] = cells[2]
    return found


ZOO = Zoo()
PRODUCTS = [
    (knowledge, scheme) for knowledge in ZOO.components("knowledge") for scheme in ZOO.components("scheme")
]
REFUSED = refused()


@pytest.fixture
def settings(tmp_path, transformer_file):
    """Without which a component means nothing: {component: settings}."""
    labels = tmp_path / "labels.npy"
    np.save(labels, np.full((8, 4), 0.25, dtype=np.float32))
    return {
        "experts": {"scheme.labels": str(labels)},
        "cross-modal": {"roles.student.modality": "heat"},
        "simkd": {"algorithm": "simkd"},
        "catkd": {f"roles.{role}.img_size": 64 for role in ("student", "teacher", "peer")},
        "vit-attention": {
            "roles.student.model": "test_vit",
            "roles.peer.model": "test_vit",
            "roles.teacher.model": "test_vit",
            "roles.teacher.checkpoint": str(transformer_file),
        },
    }


def test_there_is_something_to_cross():
    assert {name for name, _ in PRODUCTS} >= {"kd", "dkd", "fitnet", "rkd", "at"}
    assert {name for _, name in PRODUCTS} >= {"offline", "mutual"}
    assert set(REFUSED) <= set(PRODUCTS), "the table names what there is"
    assert len(REFUSED) < len(PRODUCTS) / 2


def products():
    """Every knowledge with a single teacher and every scheme with kd; all others are slow, for there are hundreds."""
    for knowledge, scheme in PRODUCTS:
        quick = scheme == "offline" or knowledge == "kd"
        yield pytest.param(
            knowledge, scheme, marks=[] if quick else pytest.mark.slow, id=f"{knowledge}-{scheme}"
        )


@pytest.mark.parametrize(("knowledge", "scheme"), list(products()))
def test_every_knowledge_runs_under_every_scheme_or_says_why_not(
    make_run, zoo, knowledge, scheme, settings, request
):
    given = {**settings.get(scheme, {}), **settings.get(knowledge, {})}
    why = cross(make_run, zoo, knowledge, scheme, given)
    request.node.user_properties.append(("crossing", (knowledge, scheme, why)))
    assert why == REFUSED.get((knowledge, scheme))
