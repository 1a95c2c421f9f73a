"""From a suite to its tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from kdzoo.api.observer import Job
from kdzoo.bench.data import SuiteData
from kdzoo.bench.further_roles import check_further_roles, further_roles
from kdzoo.bench.leaderboard import TUNED
from kdzoo.bench.plan import Candidate, Entry, Plan, Run, Search
from kdzoo.bench.suite_methods import methods_of
from kdzoo.bench.suite_pairs import named_pairs
from kdzoo.bench.task import Task
from kdzoo.bench.tuning_space import scaled, space_of
from kdzoo.bench.tuning_trials import proposed, require_optuna
from kdzoo.engine.components import components_of
from kdzoo.errors import KdzooError
from kdzoo.files import folder_name
from kdzoo.jobs.answers import shared_answers
from kdzoo.jobs.identity import identity_of
from kdzoo.jobs.plan import teacher_recipe
from kdzoo.jobs.teacher_folder import readable
from kdzoo.recipe.data import AUTO, DataConfig
from kdzoo.recipe.decides import DataFacts, is_trained_here
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.layers import Layer, dotted, flattened
from kdzoo.recipe.model import Recipe
from kdzoo.registry.model import Registry, Suite
from kdzoo.registry.published import RecordedFigure, figures_of_table, recorded_figure
from kdzoo.registry.resolve import resolve
from kdzoo.registry.tuning import EVERY, Budget
from kdzoo.seeds import derive_seed
from kdzoo.zoo import Zoo

_OWN_KEYS = ("seed", "method")
"""Fields of each recipe that the plan sets."""

NO_CHANGE = {
    *("data.data_dir", "data.dataset", "data.workers", "data.cache_gb", "observers", "checkpoint_seconds"),
    *("roles.teacher.checkpoint", "eval_every", "deterministic", "channels_last"),
}
"""Keys that leave a suite's protocol as it is: where things are, and how fast they are."""

TUNING = "tuning"
"""The last tag of a tuning run."""


class Planner:
    """Makes the tasks of one suite in one folder.

    A task's folder contains the hash of its identity, so that old results are never reused after a change of
    the suite, the data or a plugin.

    Args:
        name: name of the suite.
        suite: its content.
        output: its folder.
        zoo: provides the components.
        registry: provides the methods.
        layers: overrides of the suite: flags, ``--set``.
        threads: threads per run, and the default number of processes that read its images.
        facts: opens the data of a recipe, for a student's ``model``; default: without messages.

    Raises:
        KdzooError: a layer sets a field that the plan sets.
    """

    def __init__(
        self,
        name: str,
        suite: Suite,
        *,
        output: Path,
        zoo: Zoo,
        registry: Registry,
        layers: Sequence[Layer] = (),
        threads: int = 1,
        facts: Callable[[DataConfig, str], DataFacts] | None = None,
    ) -> None:
        self.name, self.suite, self.output = name, suite, output
        self._zoo, self._registry = zoo, registry
        self._layers = tuple(layers)
        self._facts = facts or SuiteData().facts
        self._default = Layer("default", {"observers": ["wandb"], "data": {"workers": threads}})
        for layer in layers:
            for key in _OWN_KEYS:
                if key in layer.values:
                    raise KdzooError(f"{layer.source}: {key}: a suite decides it; see --seeds and --methods")
        self.pairs = named_pairs(suite, self._layers)
        self._further = further_roles(name, suite, self.pairs, self._layers)
        check_further_roles(self._further, registry, zoo)
        self._teachers: dict[str, Task] = {}

    @property
    def published(self) -> tuple[RecordedFigure, ...]:
        """The accuracies published on the suite's pairs."""
        own = (one for table in self.suite.published for one in figures_of_table(self.name, table))
        others = self._registry.figures(suite=self.name)
        found = {recorded_figure(one): None for one in (*own, *others) if one.pair in self.pairs}
        return tuple(found)

    @property
    def changed(self) -> tuple[str, ...]:
        """The keys in which the layers change the suite's protocol."""
        keys = (key for layer in self._layers for key, _ in flattened(layer.values))
        return tuple(dict.fromkeys(key for key in keys if key not in NO_CHANGE))

    def plan(self) -> Plan:
        """The tasks of all methods of the suite.

        Raises:
            KdzooError: an unknown method, a missing package, a bad value, or data that cannot be opened. If
                the suite uses all installed methods, one that cannot be planned is skipped and recorded,
                unless it is the only one.
        """
        tolerant = self.suite.methods == "installed"
        if isinstance(self.suite.tune, Budget):
            require_optuna()
        methods = methods_of(self.name, self.suite, self._registry, self._zoo)
        runs: list[Run] = []
        searches: list[Search] = []
        refused: dict[Entry, str] = {}
        errors: list[KdzooError] = []
        for pair in self.pairs:
            for method in methods:
                if method in self.pairs[pair].without:
                    continue
                entry = Entry(method, method, pair)
                try:
                    search = self._search(entry)
                    if not (search and self.suite.only_tuned) or method == self.suite.baseline:
                        runs += self.runs(entry)
                    searches += search
                except KdzooError as error:
                    if not tolerant:
                        raise
                    refused[entry] = " ".join(str(error).split())
                    errors.append(error)
        if not runs:
            raise (
                errors[0]
                if errors
                else KdzooError(f"suite {self.name}: no pair can be used with its methods")
            )
        order = {seed: number for number, seed in enumerate(self.suite.seeds)}
        runs.sort(
            key=lambda run: order[run.seed]
        )  # seed by seed: an interrupted suite has compared all entries on some seeds
        return Plan(tuple(runs), tuple(searches), self._teachers, refused)

    def runs(self, entry: Entry, settings: Mapping[str, Any] | None = None) -> list[Run]:
        """An entry over all seeds, with ``settings`` (dotted keys) in addition to the method's."""
        first = self._task("jobs", entry, self.suite.seeds[0], settings or {})
        others = (self._with_seed(first, entry, seed) for seed in self.suite.seeds[1:])
        tasks = [first, *others]
        return [Run(entry, seed, task) for seed, task in zip(self.suite.seeds, tasks, strict=True)]

    def _with_seed(self, first: Task, entry: Entry, seed: int) -> Task:
        """A run of the same recipe with another seed; its teachers are the same, as they have their own."""
        recipe = first.recipe.model_copy(update={"seed": seed})
        return self._task_of("jobs", entry, seed, recipe, self._identity(recipe), first.after)

    def _search(self, entry: Entry) -> list[Search]:
        tune, seed = self.suite.tune, self.suite.tune_seed
        tuned = Entry(entry.method + TUNED, entry.method, entry.pair)
        if isinstance(tune, Budget):
            return self._trials(tuned, tune, seed)
        given = tune.get(entry.method, tune.get(EVERY, ()))
        if not given:
            return []
        own = self._recipe(entry, seed, {})
        candidates = [{key: scaled(key, value, own) for key, value in one.items()} for one in given]
        tried = tuple(Candidate(one, self._task(TUNING, tuned, seed, one)) for one in candidates)
        return [Search(tuned, seed, tried)]

    def _trials(self, tuned: Entry, budget: Budget, seed: int) -> list[Search]:
        """A search with its first candidates; the others are proposed when these are done."""
        held = {} if budget.val_fraction is None else {"data.val_fraction": budget.val_fraction}
        own = self._recipe(tuned, seed, held)
        facts = self._facts(own.data, own.roles["student"].model)
        if not facts.validates:
            raise KdzooError(
                f"suite {self.name}: tuning needs validation images, and there are none: set data.val_fraction, or "
                "tune: {val_fraction: 0.1}, which holds some back in trials alone"
            )
        space = space_of(own, self._zoo, budget.space_of(tuned.method))
        # a range that a type does not allow is refused before hours are spent
        for ends in ({one.key: one.low for one in space}, {one.key: one.high for one in space}):
            self._recipe(tuned, seed, ends)
        sampler = derive_seed(seed, self.name, tuned.method, tuned.pair)
        kept = _teachers_rates(own)

        def propose(values: Sequence[float | None]) -> tuple[Candidate, ...]:
            found = proposed(space, budget, values, sampler)
            tried = (self._task(TUNING, tuned, seed, {**held, **kept, **one}) for one in found)
            return tuple(Candidate(one, task) for one, task in zip(found, tried, strict=True))

        return [Search(tuned, seed, propose(()), budget.trials, propose, kept)] if space else []

    def _task(self, place: str, entry: Entry, seed: int, settings: Mapping[str, Any]) -> Task:
        recipe = self._recipe(entry, seed, settings)
        identity, after = self._identity(recipe), frozenset(self._teachers_of(recipe, entry.pair))
        return self._task_of(place, entry, seed, recipe, identity, after, settings)

    def _task_of(
        self,
        place: str,
        entry: Entry,
        seed: int,
        recipe: Recipe,
        identity: Identity,
        after: frozenset[str],
        settings: Mapping[str, Any] | None = None,
    ) -> Task:
        own = f"{entry.method}-seed{seed}-{identity.key[:8]}"
        key = f"{place}/{_file_name(entry.pair)}/{own}"
        shared, embeddings = shared_answers(recipe, identity, self._zoo)
        return Task(
            key=key,
            recipe=recipe,
            folder=self.output / key,
            job=self._job(entry, seed, recipe, settings if place == TUNING else None),
            identity=identity,
            epochs=recipe.epochs,
            after=after,
            shares=" ".join([shared, *sorted(after)]) if shared else "",
            embeddings=embeddings,
            tests=place != TUNING and not self.suite.headline.startswith("val/"),
        )

    def _identity(self, recipe: Recipe, *, weights_only: bool = False) -> Identity:
        found = components_of(recipe, self._zoo)
        facts = self._facts(recipe.data, recipe.roles["student"].model)
        return identity_of(recipe, facts, found, weights_only=weights_only)

    def _recipe(self, entry: Entry, seed: int, settings: Mapping[str, Any]) -> Recipe:
        pair = self.pairs[entry.pair]
        source = f"suite {self.name}"
        recipe = resolve(
            zoo=self._zoo,
            registry=self._registry,
            method=entry.method,
            layers=[
                self._default,
                Layer(
                    source,
                    {
                        "data": self.suite.data.model_dump(exclude_unset=True),
                        "epochs": self.suite.epochs,
                        **self.suite.recipe,
                    },
                ),
                Layer(source, {"roles": pair.networks}),
                Layer(source, dotted(self.suite.settings.get(entry.method, {}))),
                Layer(f"{source}, pair {entry.pair}", pair.recipe),
                Layer(f"{source}, pair {entry.pair}", dotted(pair.settings.get(entry.method, {}))),
                *self._layers,
                Layer(f"{source}, tune", dotted(settings)),
                Layer(source, {"seed": seed}),
            ],
            spare=tuple(self._further),
        )
        # workers have no terminal; the parent process shows the progress
        quiet = tuple(one for one in recipe.observers if one.name != "console")
        if recipe.data.batch_size == AUTO:
            raise KdzooError(
                f"{source}: data.batch_size auto is for single runs; a suite's runs need a number"
            )
        data = recipe.data.model_copy(update={"batch_size": recipe.data.batch_size})  # as if it were given
        return recipe.model_copy(update={"observers": quiet, "data": data})

    def _teachers_of(self, recipe: Recipe, pair: str) -> list[str]:
        """The keys of the teachers that must be trained before ``recipe`` is run; new ones are planned."""
        if self._zoo.find("scheme", recipe.scheme.name).component.kind != "offline":
            return []  # it may need no teacher; if it does, its own run trains it
        if self._facts(recipe.data, recipe.roles["student"].model).teaches:
            return []
        keys = []
        for role, config in recipe.roles.items():
            if is_trained_here(role, config):
                alone = teacher_recipe(recipe, config)
                identity = self._identity(alone, weights_only=True)
                key = f"teachers/{readable(config.model)}-{identity.key[:8]}"
                keys.append(key)
                if key not in self._teachers:
                    job = Job(f"{role} {config.model}", "teacher", self.name, (_data_name(recipe), pair))
                    self._teachers[key] = Task(
                        key, recipe, self.output / key, job, identity, epochs=alone.epochs, teaches=role
                    )
        return keys

    def _job(self, entry: Entry, seed: int, recipe: Recipe, tried: Mapping[str, Any] | None = None) -> Job:
        plain = self._registry.methods[entry.method].category == "baseline"
        where = [entry.pair] if len(self.pairs) > 1 else []
        tags: tuple[str, ...] = (entry.method, _data_name(recipe), entry.pair)
        if tried is None:
            name = " ".join([entry.name, *where, f"seed {seed}"])
        else:
            name = " ".join(
                [TUNING, entry.method, *where, *(f"{key}={value}" for key, value in tried.items())]
            )
            tags = (*tags, TUNING)
        return Job(name, "baseline" if plain else "student", self.name, tags)


def _teachers_rates(recipe: Recipe) -> dict[str, Any]:
    """The rates of teachers that follow the recipe's, so that one teacher serves every rate of the student."""
    own = {role: one for role, one in recipe.roles.items() if is_trained_here(role, one) and one.lr is None}
    base, found = recipe.optim.lr_base, {}
    for role, one in own.items():
        if one.optim is None or not {"lr", "lr_base"} & one.optim.model_fields_set:
            key, rate = ("lr", recipe.optim.lr) if base is None else ("optim.lr_base", base)
            found[f"roles.{role}.{key}"] = rate
    return found


def _data_name(recipe: Recipe) -> str:
    return recipe.data.data_dir.name if recipe.data.data_dir else recipe.data.dataset


def _file_name(text: str) -> str:
    """Letters and digits only, of the last part of a path."""
    parts = [PurePath(part).name for part in text.split(">")]
    return folder_name("-".join("".join(one if one.isalnum() else "_" for one in part) for part in parts))
