"""What must hold of results that are handed in: complete, of the registry's protocol, no choice made on test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdzoo.bench.ledger import PlannedRun
from kdzoo.bench.planner import NO_CHANGE, Planner
from kdzoo.bench.recorded import Recorded
from kdzoo.bench.results import SuiteResults, read_results
from kdzoo.bench.suite import narrowed
from kdzoo.errors import KdzooError
from kdzoo.files import inside
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.decides import EFFECTS, DataFacts
from kdzoo.recipe.identity import read_identity
from kdzoo.recipe.layers import flattened
from kdzoo.recipe.writing import dump
from kdzoo.registry.load import find_suite
from kdzoo.registry.model import Registry
from kdzoo.yaml_text import read_yaml
from kdzoo.zoo import Zoo

FEWEST_SEEDS = 3

_BY_DATA = "data.augment", "data.crop_pct", "data.interpolation", "data.img_size"
"""Where the suite leaves them open, a run's recipe says what suited its data."""

_NOT_COMPARED = {"kdzoo", "method", "seed", *NO_CHANGE}


def verify(folder: Path, zoo: Zoo, registry: Registry) -> tuple[SuiteResults, list[str]]:
    """The results in ``folder``, and a line for each thing that is wrong; none if they may be compared.

    Weights may be missing: results are handed in without them.

    Raises:
        KdzooError: the folder is not that of a suite, or nothing in it can be read.
    """
    results = read_results(folder)
    found = [*_whole(results), *_seeds(results)]
    for run in results.ledger.runs:
        if run.folder in results.runs:
            found += [f"{run.folder}: {line}" for line in _run(folder, run, results.runs[run.folder])]
    found += _plugins(results)
    found += _tuning(results)
    found += _protocol(folder, results, zoo, registry)
    return results, found


def _whole(results: SuiteResults) -> Iterator[str]:
    yield from results.left_out
    if results.unfinished:
        yield f"{results.unfinished} of {len(results.ledger.runs)} runs have not finished"
    for failure in results.ledger.failures:
        yield f"{failure.name} failed: {failure.error}"
    if len(results.data_hashes) > 1:
        yield "the runs used different data"
    for key in results.ledger.changed:
        yield f"the command line changes the suite's protocol: {key}"


def _seeds(results: SuiteResults) -> Iterator[str]:
    for pair in results.pairs:
        for entry, accuracies in pair.accuracies.items():
            missing = sorted(set(results.ledger.seeds) - accuracies.keys())
            if missing:
                yield f"{entry}, {pair.pair}: no result with the seeds {', '.join(map(str, missing))}"
    if len(results.ledger.seeds) < FEWEST_SEEDS:
        yield f"{len(results.ledger.seeds)} seeds: at least {FEWEST_SEEDS} are needed for an interval worth the name"


def _run(folder: Path, run: PlannedRun, record: Recorded) -> Iterator[str]:
    place = inside(folder, run.folder)
    identity = read_identity(place)
    if identity is None:
        yield "identity.json is missing or damaged"
    elif not place.name.endswith(identity.key[:8]):
        yield "identity.json is not that of the folder's name"
    try:
        recipe: Any = dict(flattened(read_yaml(place / "recipe.yaml")))
    except KdzooError as error:
        yield str(error)
        recipe = {}
    if recipe and recipe.get("seed") != run.seed:
        yield f"recipe.yaml has the seed {recipe.get('seed')}, the ledger {run.seed}"
    if identity is not None:
        for key, value in identity.fields.items():
            decides = re.sub(r"^roles\.[^.]+", "roles.*", key) not in EFFECTS
            if decides and recipe.get(key) not in (None, value):  # what is None was found out from the data
                yield f"recipe.yaml and identity.json differ in {key}: {recipe[key]!r} and {value!r}"
    for epoch in record.epochs:
        tested = [name for name in epoch.metrics if name.startswith("test/")]
        if tested:
            yield f"epoch {epoch.epoch} has {tested[0]}: the test split was read during training"
            break
    result = record.result
    if result is not None and result.chosen is not None and result.val_chosen is None:
        yield "an epoch was chosen without a validation split"


def _plugins(results: SuiteResults) -> Iterator[str]:
    versions: dict[str, set[str]] = {}
    for record in results.runs.values():
        for name, version in (record.result.plugins if record.result else {}).items():
            versions.setdefault(name, set()).add(version)
    for name, different in versions.items():
        if len(different) > 1:
            yield f"runs with several versions of {name}: {', '.join(sorted(different))}"


def _tuning(results: SuiteResults) -> Iterator[str]:
    """Entries that did not spend their budget of trials, or whose settings are not the best that were tried."""
    for one in results.tuning:
        tried = [candidate.validation for candidate in one.candidates]
        if one.trials is not None and len(tried) != one.trials:
            yield f"{one.entry}, {one.pair}: {len(tried)} trials of the {one.trials} that every entry has"
        best = max((value for value in tried if value is not None), default=None)
        if one.chosen is not None and (not 0 <= one.chosen < len(tried) or tried[one.chosen] != best):
            yield f"{one.entry}, {one.pair}: its settings are not those of the best validation accuracy"


def _protocol(folder: Path, results: SuiteResults, zoo: Zoo, registry: Registry) -> Iterator[str]:
    """Recipes that are not those of the registry's suite."""
    ledger = results.ledger
    try:
        methods = tuple(entry for entry in ledger.entries if entry in registry.methods)
        suite = narrowed(
            find_suite(registry, ledger.suite), seeds=ledger.seeds, methods=methods, pairs=ledger.pairs
        )
        suite = suite.model_copy(update={"tune": {}, "only_tuned": False})
        planner = Planner(ledger.suite, suite, output=folder, zoo=zoo, registry=registry, facts=_unread)
        planned = planner.plan().runs
    except KdzooError as error:
        yield f"the suite cannot be planned again, so its recipes are not compared: {error}"
        return
    expected = {(run.entry.name, run.entry.pair, run.seed): run.task.recipe for run in planned}
    told: set[str] = set()
    for run in ledger.runs:
        recipe = expected.get((run.entry, run.pair, run.seed))
        if recipe is None:
            continue
        try:
            own = dict(flattened(read_yaml(inside(folder, run.folder) / "recipe.yaml")))
        except KdzooError:  # said already
            continue
        suites = dict(flattened(dump(recipe)))
        for key in sorted((own.keys() | suites.keys()) - _NOT_COMPARED):
            line = f"{run.entry}, {run.pair}: {key} is {own.get(key)!r}, in the suite {suites.get(key)!r}"
            found_out = suites.get(key) is None and key.startswith(_BY_DATA)
            if own.get(key) != suites.get(key) and not found_out and line not in told:
                told.add(line)
                yield line


def _unread(config: DataConfig, _: str) -> DataFacts:
    """Facts about data that are not opened: recipes do not depend on them."""
    return DataFacts("", config.img_size or 32, config.augment or AugmentConfig())
