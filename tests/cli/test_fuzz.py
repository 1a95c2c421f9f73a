"""Thousands of damaged inputs: whatever is read from outside gives a result or a KdzooError, and nothing else.

The mutations are drawn from a seed, so that a failure names the case that repeats it.
"""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdzoo.bench.ledger import SUITE_FILE, TUNING_FILE
from kdzoo.bench.markdown import run_markdown, suite_markdown
from kdzoo.bench.planner import Planner
from kdzoo.bench.report import write_report
from kdzoo.bench.results import read_results
from kdzoo.bench.single import read_run
from kdzoo.bench.suite import narrowed, open_suite
from kdzoo.cli.distill import run_name
from kdzoo.cli.keys import as_set
from kdzoo.errors import KdzooError
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.decides import DataFacts
from kdzoo.recipe.layers import Layer, parse_set
from kdzoo.recipe.writing import dump
from kdzoo.registry.load import as_registry, combine, load_registry
from kdzoo.registry.model import Registry
from kdzoo.registry.resolve import resolve
from kdzoo.yaml_text import to_yaml
from kdzoo.zoo import Zoo

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 0.5, 1e-300, 1e308, 2**31, 2**63, 10**40, math.nan, math.inf, -math.inf, -0.0,
    "", " ", "x" * 3000, "..", "../../x", "/etc/passwd", "~nobody-here/x", "a.b", "a:b", "<b>`|", "kd", "1e3", "x0.3",
    "2026-02-30", "0x", "résumé", "\u202e", "a\tb", "local-dir:/", "local-dir:" + "y" * 300, "hf-hub:", "*",
    [], {}, [None], [[]], [0, "a"], {"a": 1}, {"name": []}, {"name": "kd"}, {"name": "kd", "settings": 3}, [{}],
    {"a.b": {"c": 1}}, {"": 0}, ["kd", "rkd"], ["kd", "kd"], [{"name": "kd", "weight": -1}],
    {"kd": {"weight": 2}}, ["kd", {"name": "rkd", "distance": 0}], [1e39],
)  # fmt: skip
TEXTS = (
    "'", '"', "[", "{", "]", "}", ":", ",", "&a ", "*a", "<<: ", "!!int ", "\n", "\t", "- ", "? ", "\0", "\x1b", "é",
    "1e999", "9" * 70, "#", "%", "@", "|", ">", "---\n", "...\n", "\ufeff", "\x85", "nan", "NaN", "Infinity",
)  # fmt: skip
KEYS = (
    "knowledge", "knowledge.temperature", "knowledge.kd.weight", "knowledge.name", "scheme", "algorithm.task_weight",
    "roles", "roles.student", "roles.teacher.model", "roles.teacher.kwargs", "roles.x", "roles.", "data",
    "data.computed", "data.paired.heat", "data.augment", "data.augment.crop", "data.img_size", "data.data_dir",
    "optim.lr", "optim.opt_kwargs.eps", "optim.decay_epochs", "epochs", "seed", "observers", "kdzoo", "method",
    "a..b", ".", "", "epochs.x", "knowledge.settings", "optim", "precision",
)  # fmt: skip


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in nested data with each of its keys."""
    if isinstance(data, dict | list):
        for key in list(data) if isinstance(data, dict) else range(len(data)):
            yield data, key
            yield from places(data[key])


def damaged(data: Any, draw: random.Random) -> Any:
    """A copy with one to three values replaced, removed, renamed, doubled or swapped."""
    data = copy.deepcopy(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        found = list(places(data))
        if not found:
            return draw.choice(VALUES)
        at, key = draw.choice(found)
        match draw.randrange(6):
            case 0:
                del at[key]
            case 1 if isinstance(at, dict):
                at[str(draw.choice(VALUES))] = at.pop(key)
            case 2 if isinstance(at, list):
                at.append(copy.deepcopy(at[key]))
            case 3:
                other, there = draw.choice(found)
                at[key] = (
                    copy.deepcopy(other[there])
                    if there in (other if isinstance(other, dict) else ())
                    else None
                )
            case _:
                at[key] = copy.deepcopy(draw.choice(VALUES))
    return data


def torn(text: str, draw: random.Random) -> bytes:
    """The text with a few characters removed, put in, or replaced, or cut off."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        begin = draw.randrange(len(text) + 1)
        end = min(len(text), begin + draw.choice((0, 0, 1, 2, 30)))
        text = text[:begin] + draw.choice((*TEXTS, "")) + text[end:]
        if draw.random() < 0.05:
            text = text[:begin]
    content = text.encode()
    if draw.random() < 0.1:
        place = draw.randrange(len(content) + 1)
        content = content[:place] + bytes([draw.randrange(256)]) + content[place:]
    return content


def holds(case: int, work: Callable[[], object]) -> bool:
    """Whether ``work`` gives a result; a KdzooError is one line that says something."""
    try:
        work()
    except KdzooError as refusal:
        said = str(refusal)
    except Exception as error:
        error.add_note(f"case {case}")
        raise
    else:
        return True
    assert "\n" not in said, f"case {case}: {said}"
    assert 10 < len(said) < 2500, f"case {case}: {said}"
    return False


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo()


@pytest.fixture(scope="module")
def registry(zoo) -> Registry:
    return load_registry(zoo)


NETWORKS = {"roles": {"teacher": "test_resnet", "student": "test_efficientnet"}}
METHODS = ("kd", "kd-ls", "fitnet", "dml", "baseline", "crd-kd")


def test_settings(zoo, registry):
    fine = 0
    for case in range(3000):
        draw = random.Random(f"set {case}")
        value = draw.choice(VALUES)
        text = draw.choice(
            (json.dumps(value), str(value), torn(json.dumps(value), draw).decode(errors="replace"))
        )
        typed = draw.choice(("--set={}={}", "--{}={}")).format(draw.choice(KEYS), text)
        given = [one.removeprefix("--set=") for one in as_set([typed], {"--set"})]

        method = draw.choice(METHODS)

        def work(given: list[str] = given, method: str = method) -> None:
            layers = [Layer("test", NETWORKS), Layer("--set", parse_set(given))]
            recipe = resolve(zoo=zoo, registry=registry, method=method, layers=layers)
            assert "/" not in run_name(recipe)

        fine += holds(case, work)
    assert fine > 50


def test_recipes(zoo, registry, tmp_path):
    file, fine = tmp_path / "recipe.yaml", 0
    layers = [Layer("test", NETWORKS)]
    recipes = [dump(resolve(zoo=zoo, registry=registry, method=one, layers=layers)) for one in METHODS]
    for case in range(600):
        draw = random.Random(f"recipe {case}")
        whole = draw.choice(recipes)
        file.write_bytes(to_yaml(damaged(whole, draw)).encode() if case % 2 else torn(to_yaml(whole), draw))
        fine += holds(case, lambda: resolve(zoo=zoo, registry=registry, file=file))
    assert fine > 50


FRAGMENT = {
    "methods": {
        "mine": {
            "title": "Mine", "category": "response", "package": "kdzoo-response", "needs": ["kdzoo-feature"],
            "knowledge": [{"name": "kd", "weight": 0.5}, {"name": "at"}], "scheme": "offline",
            "algorithm": {"name": "distill", "task_weight": 0.5}, "recipe": {"smoothing": 0.1, "optim": {"lr": 0.1}},
            "small": {"epochs": 1},
            "paper": {"title": "T", "authors": "A", "venue": "V", "year": 2020, "arxiv": "2001.00001"},
        }
    },
    "suites": {
        "ours": {
            "summary": "S", "data": {"dataset": "digits", "val_fraction": 0.1}, "methods": ["mine"], "seeds": [0, 1],
            "pairs": [{"teacher": "test_resnet", "student": {"model": "test_vit", "kwargs": {"a": 1}}}],
            "epochs": 2, "recipe": {"optim": {"opt": "sgd"}}, "only_tuned": False, "tune_seed": 9,
            "tune": {"mine": [{"optim.lr": "x0.3"}, {"knowledge.at.weight": 2}], "*": [{"epochs": 3}]},
        }
    },
}  # fmt: skip


def test_registries_and_suites(zoo, registry, tmp_path):
    file, fine = tmp_path / "more.yaml", 0
    facts = DataFacts("pixels 0", 32, AugmentConfig())
    for case in range(200):
        draw = random.Random(f"registry {case}")
        file.write_bytes(
            to_yaml(damaged(FRAGMENT, draw)).encode() if case % 3 else torn(to_yaml(FRAGMENT), draw)
        )

        def work() -> None:
            both = combine(registry, as_registry(file), "more", {})
            for name in set(both.suites) - set(registry.suites):
                suite = narrowed(open_suite(name, both)[1], seeds=None, methods=None)
                output = tmp_path / "runs" / name
                plan = Planner(
                    name, suite, output=output, zoo=zoo, registry=both, facts=lambda data, student: facts
                ).plan()
                for task in plan.tasks:
                    assert (tmp_path / "runs") in task.folder.resolve().parents

        fine += holds(case, work)
    assert fine > 15


def lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    recipe = {
        "method": "kd",
        "algorithm": {"name": "distill"},
        "roles": {"student": {"model": "m"}},
        "epochs": 2,
    }
    recipe |= {"seed": 0, "data": {"dataset": "digits", "data_dir": None}}
    rows: list[Any] = [
        {"event": "start", "time": 1.5, "job": {"name": "a"}, "recipe": recipe, "resumed": False}
    ]
    rows += [
        {"event": "epoch", "phase": "p", "epoch": n, "metrics": {"val/accuracy": 50.0 + n}} for n in (1, 2)
    ]
    rows += [{"event": "picture", "name": "made", "path": "pictures/a.png", "epoch": 1}]
    result = {"test/last": 90.0, "val/last": 91.0, "epoch/chosen": 1, "val/chosen": 92.0, "test/chosen": 89.0}
    result |= {
        "seconds": 3.5,
        "process_seconds": 3.0,
        "peak_memory_mb": 9.0,
        "parameters": 5,
        "plugins": {"a": "1"},
    }
    rows += [{"event": "failed", "error": "E"}, {"event": "result", "result": {**result, "front/size": 2}}]
    (folder / "metrics.jsonl").write_bytes(lines(rows))
    machine = {"device": "cpu", "name": "P", "system": "L", "cores": 2, "threads": 1}
    provenance = {
        "machine": machine,
        "versions": {"a": "1"},
        "git": None,
        "data": {"hash": "ab", "withheld": False},
    }
    (folder / "provenance.json").write_text(json.dumps(provenance))
    (folder / "recipe.yaml").write_text("a: 1\n")
    return folder


def suite_of(folder: Path) -> tuple[dict[str, Any], list[Any]]:
    ledger = {
        "suite": "quick", "summary": "S", "kdzoo": "0", "command": "c", "started": "2026-01-02T03:04:05+00:00",
        "seconds": 1.0, "workers": 1, "threads": 1, "data": {"dataset": "digits"}, "epochs": 2, "seeds": [0],
        "baseline": "kd", "pairs": ["a>b"], "entries": {"kd": {"title": "T", "cite": None, "settings": ""}},
        "runs": [{"entry": "kd", "pair": "a>b", "seed": 0, "folder": folder.name}],
        "failures": [{"name": "x", "error": "e", "folder": None}],
    }  # fmt: skip
    candidate = {"settings": {"a": 1}, "validation": 3.0, "folder": "x"}
    return ledger, [{"entry": "kd", "pair": "a>b", "seed": 9, "candidates": [candidate], "chosen": 0}]


def damage(file: Path, whole: bytes, draw: random.Random) -> None:
    if file.suffix == ".yaml" or draw.random() < 0.4:
        file.write_bytes(torn(whole.decode(), draw))
    elif file.suffix == ".jsonl":
        file.write_bytes(lines(damaged([json.loads(one) for one in whole.splitlines()], draw)))
    else:
        file.write_bytes(json.dumps(damaged(json.loads(whole), draw)).encode())


def test_runs_and_suites_that_are_reported(run):
    suite = run.parent
    ledger, tuning = suite_of(run)
    (suite / SUITE_FILE).write_text(json.dumps(ledger))
    (suite / TUNING_FILE).write_text(json.dumps(tuning))
    files = [suite / SUITE_FILE, suite / TUNING_FILE]
    files += [run / name for name in ("metrics.jsonl", "provenance.json", "recipe.yaml")]
    intact = {file: file.read_bytes() for file in files}
    fine = 0
    for case in range(1000):
        draw = random.Random(f"report {case}")
        file = draw.choice(files)
        damage(file, intact[file], draw)
        if case % 200:
            fine += holds(case, lambda: run_markdown(read_run(run)))
            fine += holds(case, lambda: suite_markdown(read_results(suite)))
        else:  # figures take longer
            fine += holds(case, lambda: write_report(run))
            fine += holds(case, lambda: write_report(suite))
        file.write_bytes(intact[file])
    assert fine > 500
