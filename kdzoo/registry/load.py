"""Reading the registry: the file that ships with the core, and the fragments that plugins bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdzoo.errors import Fault, KdzooError, UnknownName
from kdzoo.files import absolute
from kdzoo.registry.model import Method, Registry, Suite
from kdzoo.yaml_text import MOST_BYTES, parse_mapping, read_bytes
from kdzoo.zoo import Zoo
from kdzoo.zoo.plugin import strict

_URL_SECONDS = 10.0


def load_registry(zoo: Zoo | None = None, more: Sequence[str] = ()) -> Registry:
    """The core's registry, then the fragments of ``zoo``'s plugins, then the files that the user names.

    Nobody replaces an entry that is there: a fragment that names what another one has named, or that does not
    validate, is left out and recorded as the fault of its plugin; a file of the user's that does is refused.

    Args:
        zoo: whose plugins bring fragments.
        more: files, or URLs of http or https.

    Raises:
        KdzooError: one of ``more`` cannot be read, does not validate, or names what is there already.
    """
    registry = read_registry(shipped_file())
    origins: dict[str, str] = {}
    for plugin, content in zoo.fragments() if zoo is not None else ():
        try:
            registry = combine(registry, as_registry(content), plugin.distribution, origins)
        except KdzooError as error:
            if strict():
                raise
            plugin.broken = f"registry fragment: {error}"
    for place in more:
        registry = combine(registry, read_place(place), place, origins)
    return registry


def read_place(place: str) -> Registry:
    """A registry from a file or a URL.

    Raises:
        KdzooError: it cannot be read, or says something that a registry cannot.
    """
    if "://" not in place:
        return read_registry(absolute(Path(place)))
    from kdzoo.registry.fetch import fetch  # here: `kdzoo list` has no use for urllib

    return _checked(parse_mapping(fetch(place, seconds=_URL_SECONDS, most=MOST_BYTES), place), place)


def shipped_file() -> Path:
    """``registry.yaml`` inside the wheel, or at the top of the repository for an editable install."""
    inside = Path(str(files("kdzoo"))) / "registry.yaml"
    return inside if inside.exists() else inside.parent.parent / "registry.yaml"


def read_registry(path: Path) -> Registry:
    """The registry file at ``path``."""
    return as_registry(path)


def as_registry(content: Path | Mapping[str, Any]) -> Registry:
    """A registry from a file or from plain data.

    Raises:
        KdzooError: the file cannot be read, or says something that a registry cannot; names the key.
    """
    if isinstance(content, Path):
        return _parsed(read_bytes(content), str(content))
    return _checked(content, "content")


@lru_cache(maxsize=16)  # parsing takes a tenth of a second, and nobody changes a registry
def _parsed(content: bytes, source: str) -> Registry:
    return _checked(parse_mapping(content, source), source)


def combine(registry: Registry, fragment: Registry, source: str, origins: dict[str, str]) -> Registry:
    """Both together; a name that both have is an error.

    Args:
        registry: what is there.
        fragment: what is added.
        source: where the fragment is from.
        origins: what was added before -> where from; the fragment's names are added to it. The rest is the core's.

    Raises:
        KdzooError: a name that is there; says by whom.
    """
    for what, ours, theirs in (
        ("method", registry.methods, fragment.methods),
        ("suite", registry.suites, fragment.suites),
    ):
        twice = sorted(set(ours) & set(theirs))
        if twice:
            raise KdzooError(
                f"{source}: the {what} {twice[0]!r} is already in the registry, by "
                f"{origins.get(f'{what} {twice[0]}', 'kdzoo')}; give it another name"
            )
        origins |= {f"{what} {name}": source for name in theirs}
    return Registry(
        methods={**registry.methods, **fragment.methods}, suites={**registry.suites, **fragment.suites}
    )


def _checked(content: Mapping[str, Any], source: str) -> Registry:
    try:
        return Registry.model_validate(content)
    except ValidationError as error:
        raise KdzooError(f"{source}: {Fault.first(error)}") from None


def find_method(registry: Registry, name: str) -> Method:
    """The method called ``name``."""
    if name not in registry.methods:
        raise UnknownName("method", name, registry.methods)
    return registry.methods[name]


def find_suite(registry: Registry, name: str) -> Suite:
    """The suite called ``name``."""
    if name not in registry.suites:
        raise UnknownName("suite", name, registry.suites)
    return registry.suites[name]
