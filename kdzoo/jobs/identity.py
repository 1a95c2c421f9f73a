"""The identity of a job: its recipe, the content of its data, and the distributions of its components."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from kdzoo.data.dataset import DataSet
from kdzoo.recipe.decides import DataFacts, identify, series
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.model import Recipe
from kdzoo.zoo.zoo import Found

_NOTED = ("torch", "timm")
"""Libraries whose minor version may change the last bits of a number."""


def identity_of(
    recipe: Recipe,
    data: DataFacts | None,
    found: Iterable[Found],
    *,
    processes: int | None = 1,
    weights_only: bool = False,
) -> Identity:
    """The identity of a job; see :func:`kdzoo.recipe.decides.identify`.

    Args:
        recipe: a resolved recipe.
        data: the opened data; None leaves out their content.
        found: its components.
        processes: number of processes; None leaves it out.
        weights_only: leave out what affects only the figures, not the weights.
    """
    return identify(
        recipe,
        data=data,
        plugins={
            f"{one.kind}.{one.name}": provider(one.plugin.distribution, one.plugin.version) for one in found
        },
        processes=processes,
        weights_only=weights_only,
        notes=_notes(),
    )


@cache
def _notes() -> dict[str, str]:
    """Asked once: it takes milliseconds, and a suite has thousands of runs."""
    return {name: series(version(name)) for name in _NOTED}


def facts_of(data: DataSet) -> DataFacts:
    """Content hash, image size, augmentation and splits of an opened data set."""
    return DataFacts(
        data.content if data.reinforced is None else f"reinforced {data.reinforced.hash}",
        data.img_size,
        data.augment,
        data.evaluation,
        data.val is not None,
        teaches=data.reinforced is not None,
    )


def as_opened(recipe: Recipe, data: DataSet) -> Recipe:
    """The recipe with the augmentation and the evaluation that suit its data, where it names none."""
    found: dict[str, object] = {"augment": data.augment}
    if data.evaluation is not None:
        found |= {"crop_pct": data.evaluation.crop_pct, "interpolation": data.evaluation.interpolation}
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=found)})


def provider(distribution: str, version: str) -> str:
    """A distribution with the part of its version that identifies results.

    For the core and the packages released with it that is the minor version, for every other one the whole version:
    only its authors know which of its releases change a number.
    """
    ours = canonicalize_name(distribution) in released_with_the_core()
    return f"{distribution} {series(version) if ours else version}"


@cache
def released_with_the_core() -> frozenset[str]:
    """The core, and the distributions that its own extras pin to one version."""
    try:
        texts = requires("kdzoo") or []
    except PackageNotFoundError:
        texts = []
    names = {"kdzoo"}
    for text in texts:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue
        if one.marker is not None and any(spec.operator == "==" for spec in one.specifier):
            names.add(canonicalize_name(one.name))
    return frozenset(names)
