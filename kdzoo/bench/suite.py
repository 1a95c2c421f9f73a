"""The suite of a command, with the changes of its flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdzoo.errors import Fault, KdzooError, UnknownName
from kdzoo.files import absolute, folder_name
from kdzoo.registry.load import find_suite
from kdzoo.registry.model import Registry, Suite
from kdzoo.yaml_text import read_yaml


def open_suite(name: str, registry: Registry) -> tuple[str, Suite]:
    """The name and content of a suite, from the registry or from a YAML file.

    Raises:
        UnknownName: the registry has no such suite.
        KdzooError: the file cannot be read or is not a valid suite.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return folder_name(path.stem), _suite(read_yaml(absolute(path)), str(path))
    return name, find_suite(registry, name)


def narrowed(
    suite: Suite,
    *,
    seeds: tuple[int, ...] | None = None,
    methods: tuple[str, ...] | None = None,
    pairs: tuple[str, ...] | None = None,
) -> Suite:
    """The suite with other seeds or methods, or with some of its pairs; None keeps them.

    Raises:
        UnknownName: the suite has no pair of that name.
        KdzooError: the tuning seed is among the seeds, or one is negative.
    """
    if pairs is not None:
        known = {pair.label: pair for pair in suite.pairs}
        for name in pairs:
            if name not in known:
                raise UnknownName("pair of the suite", name, known)
        tables = [kept for table in suite.published if (kept := table.only(pairs)) is not None]
        suite = suite.model_copy(
            update={"pairs": tuple(known[name] for name in pairs), "published": tuple(tables)}
        )
    changes: dict[str, Any] = {"seeds": seeds, "methods": methods}
    given = {key: value for key, value in changes.items() if value is not None}
    return _suite(
        {**suite.model_dump(exclude_unset=True), **given}, "--" + ", --".join(given) if given else ""
    )


def _suite(content: Any, source: str) -> Suite:
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        raise KdzooError(f"{source}: {Fault.first(error)}") from None
