"""What a registry file may say. Methods are data: component names with the paper's hyper-parameters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from kdzoo.recipe.component import Component, ComponentKind, Knowledges
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.roles import RoleConfig, RoleName
from kdzoo.recipe.section import Name, Section
from kdzoo.registry.published import Figure, PairName, PublishedFigure, PublishedTable, figures_of_table
from kdzoo.registry.tuning import Tuning

CATEGORIES = (
    "baseline",
    "response",
    "feature",
    "relation",
    "online",
    "self",
    "adversarial",
    "multi-teacher",
    "cross-modal",
    "graph",
    "attention",
    "data-free",
    "quantized",
    "lifelong",
    "nas",
    "foundation",
)
"""The categories of this repository's own methods, in the order of listings; plugins may add others."""

Category = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]

Package = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=100)]
"""A distribution's name and nothing else: it becomes an argument of pip."""


def category_order(category: str) -> tuple[int, str]:
    """A key to sort by: the known categories in their order, then all others by name."""
    return (CATEGORIES.index(category) if category in CATEGORIES else len(CATEGORIES), category)


class Paper(Section):
    """Where a method was published."""

    title: str = Field(description="of the paper")
    authors: str = Field(description="last names")
    venue: str = Field(description="conference or journal")
    year: int = Field(ge=1980, le=2100, description="of publication")
    arxiv: Annotated[str, Field(pattern=r"^(\d{4}\.\d{4,5}|[a-z-]+/\d{7})$")] | None = Field(
        None, description="identifier at arXiv"
    )
    url: str | None = Field(None, description="address of a paper that is not at arXiv")

    def cite(self) -> str:
        """One line, as a bibliography has it."""
        where = f" arXiv:{self.arxiv}." if self.arxiv else f" {self.url}" if self.url else ""
        return f"{self.authors}. {self.title}. {self.venue}, {self.year}.{where}"


Situation = Literal["labels", "few-labels", "no-labels"]
"""Of training pictures: every one has a label, some or few of each class have, none has."""


class Method(Section):
    """A published recipe: knowledge x scheme x algorithm with the paper's hyper-parameters."""

    title: str = Field(description="what the method does, in a few words")
    category: Category = Field(description="the family: one of the usual ones, or a word of the plugin's own")
    package: Package = Field(
        "kdzoo", description="the distribution that provides the method's own components"
    )
    needs: tuple[Package, ...] = Field((), description="further distributions whose components it names")
    summary: str = Field("", description="one sentence on how it does it")
    knowledge: Knowledges = Field((), description="what is taught, with the paper's hyper-parameters")
    scheme: Component = Field(Component(name="offline"), description="who teaches whom")
    algorithm: Component = Field(Component(name="distill"), description="how training is run")
    recipe: dict[str, Any] = Field(default_factory=dict, description="further keys of the recipe")
    small: dict[str, Any] = Field(
        default_factory=dict,
        description="dotted keys with which a run on forty digits takes seconds, where the recipe's own do not do: "
        "what `kdzoo check` uses",
    )
    suits: tuple[Situation, ...] = Field(
        (),
        description="where `kdzoo compress` tries it, in the registry's order: labels (every training picture has "
        "one), few-labels, no-labels",
    )
    paper: Paper | None = Field(None, description="where it was published")
    published: tuple[PublishedFigure, ...] = Field(
        (),
        description="accuracies of the method that its authors or others published, each on a pair of a suite",
    )

    @property
    def packages(self) -> tuple[str, ...]:
        """Every distribution that must be installed."""
        return (self.package, *self.needs)

    @property
    def components(self) -> list[tuple[ComponentKind, Component]]:
        """Every component that it names, with its kind."""
        taught: list[tuple[ComponentKind, Component]] = [("knowledge", one) for one in self.knowledge]
        return [*taught, ("scheme", self.scheme), ("algorithm", self.algorithm)]


MethodSettings = dict[Name, dict[str, Any]]
"""Method -> dotted keys of its recipe."""


class Pair(Section):
    """A teacher and a student."""

    name: PairName | None = Field(
        None, description="short name, TEACHER>STUDENT; default: of the models' names"
    )
    teacher: RoleConfig = Field(description="of the methods that have one")
    student: RoleConfig = Field(description="the network that is trained and compared")
    roles: dict[RoleName, RoleConfig] = Field(
        default_factory=dict, description="networks of further roles, for the methods that declare them"
    )
    recipe: dict[str, Any] = Field(default_factory=dict, description="further keys of the pair's recipes")
    settings: MethodSettings = Field(
        default_factory=dict, description="method -> dotted keys of its recipe for this pair"
    )
    without: tuple[Name, ...] = Field((), description="methods that cannot be used with this pair")

    @property
    def label(self) -> str:
        """Its name, or ``teacher>student`` of the models' names."""
        return self.name or f"{self.teacher.model}>{self.student.model}"

    @property
    def networks(self) -> dict[str, Any]:
        """All its roles as a layer of a recipe."""
        further = self.model_dump(include={"roles"}, exclude_unset=True).get("roles", {})
        return {**further, **self.model_dump(include={"teacher", "student"}, exclude_unset=True)}


class Suite(Section):
    """A benchmark: everything that must be the same for every method that is compared."""

    summary: str = Field("", description="one sentence")
    data: DataConfig = Field(DataConfig(), description="the images of every run")
    pairs: tuple[Pair, ...] = Field(min_length=1, description="the networks; each has a table of its own")
    methods: tuple[str, ...] | Literal["installed"] = Field(
        "installed", description="names, or every method whose package is installed"
    )
    baseline: str = Field("baseline", description="the method that differences are taken to")
    seeds: tuple[NonNegativeInt, ...] = Field(
        (0, 1, 2), min_length=1, description="of the runs of each method"
    )
    epochs: PositiveInt = Field(20, description="of every student")
    recipe: dict[str, Any] = Field(default_factory=dict, description="further keys of every job's recipe")
    headline: str = Field(
        "test/last",
        description="the figure of the result that rows are ordered and compared by; with one of the validation "
        "split, such as val/last, no test image is read",
    )
    columns: tuple[str, ...] = Field(
        (), description="further figures of the result to show, such as test/macro_f1"
    )
    settings: MethodSettings = Field(
        default_factory=dict,
        description="method -> dotted keys of its recipe in this suite, where the protocol has other values",
    )
    published: tuple[PublishedTable, ...] = Field(
        (), description="tables of published accuracies on the suite's pairs"
    )
    tune: Tuning = Field(
        default_factory=dict,
        description="{trials: N}, the same budget for every method; or method -> candidate settings (dotted keys), "
        "compared by validation accuracy on tune_seed; '*' stands for every method that is not named, and a value "
        "such as 'x0.3' is a factor on the method's own",
    )
    only_tuned: bool = Field(
        False,
        description="report a method that has candidates with its tuned settings alone; not the baseline",
    )
    tune_seed: NonNegativeInt = Field(1000, description="a seed that is not among seeds")

    @model_validator(mode="after")
    def _fair(self) -> Suite:
        if self.tune_seed in self.seeds:
            raise ValueError(
                "tune_seed must not be among seeds: settings would be chosen on what is reported"
            )
        return self

    @model_validator(mode="after")
    def _known_pairs(self) -> Suite:
        known = [pair.name for pair in self.pairs if pair.name is not None]
        if len(known) > len(set(known)):
            raise ValueError("two pairs have the same name")
        for table in self.published:
            unknown = [name for name in table.pairs if name not in known]
            if unknown:
                raise ValueError(f"published figures for {unknown[0]!r}, which is the name of no pair")
        return self


class Registry(Section):
    """Methods and suites by name."""

    methods: dict[Name, Method] = Field(default_factory=dict)
    suites: dict[Name, Suite] = Field(default_factory=dict)

    def figures(
        self, *, method: str | None = None, suite: str | None = None, pair: str | None = None
    ) -> list[Figure]:
        """Published figures, those of suites' tables first; each argument that is given selects."""
        found = [
            one
            for name, content in self.suites.items()
            for table in content.published
            for one in figures_of_table(name, table)
        ]
        found += [
            Figure(one.suite, name, one.pair, one.value, one)
            for name, content in self.methods.items()
            for one in content.published
        ]
        return [
            one
            for one in found
            if method in (None, one.method) and suite in (None, one.suite) and pair in (None, one.pair)
        ]
