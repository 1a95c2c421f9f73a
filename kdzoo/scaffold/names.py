"""One name that the user gives, in the forms in which a package needs it."""

from __future__ import annotations

import builtins
import keyword
import re
from dataclasses import dataclass

from kdzoo import api
from kdzoo.errors import KdzooError, UnknownName, shortened
from kdzoo.registry.load import load_registry
from kdzoo.version import __version__
from kdzoo.zoo import Zoo
from kdzoo.zoo.zoo import HOOKS, Kind

_IMPORTED = (
    "SimpleNamespace",
    "Tensor",
    "Path",
    "Iterable",
    "Iterator",
    "Mapping",
    "NonNegativeFloat",
    "PositiveFloat",
    "Zoo",
)
_SPOKEN_FOR = {*api.__all__, *_IMPORTED}
"""Classes that the templates import: one of the plugin's own would hide them."""

KINDS: tuple[Kind, ...] = ("knowledge", "scheme", "algorithm", "observer")
"""What there are templates for."""

_LONGEST = 50
_FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Names:
    """The names of a new plugin.

    Attributes:
        name: of the component and its method, such as ``soft-cosine``.

    """

    name: str

    @property
    def distribution(self) -> str:
        """What pip installs: ``kdzoo-soft-cosine``."""
        return f"kdzoo-{self.name}"

    @property
    def package(self) -> str:
        """What Python imports: ``kdzoo_soft_cosine``."""
        return f"kdzoo_{self.module}"

    @property
    def module(self) -> str:
        """The component's file, and the stem of its functions: ``soft_cosine``."""
        return self.name.replace("-", "_")

    @property
    def cls(self) -> str:
        """The component's class: ``SoftCosine``."""
        return "".join(part[0].upper() + part[1:] for part in self.name.split("-"))

    @property
    def title(self) -> str:
        """The words of the name: ``Soft cosine``."""
        return self.name[0].upper() + self.name[1:].replace("-", " ")


def names_of(text: str) -> Names:
    """The names made of what the user typed: ``Soft_Cosine`` and ``kdzoo-soft-cosine`` are ``soft-cosine``.

    Raises:
        KdzooError: it cannot name a component and a Python module.
    """
    name = re.sub(r"[\s_-]+", "-", text.strip().lower()).removeprefix("kdzoo-")
    if not _FORM.fullmatch(name) or len(name) > _LONGEST:
        raise KdzooError(
            f"{shortened(text)} is no name for a plugin: a letter, then letters, digits and hyphens, "
            f"at most {_LONGEST}"
        )
    names = Names(name)
    for word, taken in (
        (names.module, keyword.iskeyword(names.module)),
        (names.cls, hasattr(builtins, names.cls)),
    ):
        if taken:
            raise KdzooError(f"{text!r} is no name for a plugin: {word} means something in Python")
    if names.cls in _SPOKEN_FOR:
        raise KdzooError(f"a class {names.cls} is part of what every plugin imports; give yours another name")
    return names


def refuse_taken(names: Names, kind: str) -> None:
    """Refuse a name that something installed or a method of the registry has.

    Raises:
        UnknownName: there is no such kind.
        KdzooError: the name is taken; says by whom.
    """
    if kind not in KINDS:
        raise UnknownName("kind", kind, KINDS)
    zoo = Zoo()
    method = load_registry(zoo).methods.get(names.name)
    if method is not None:
        raise KdzooError(f"{method.package} has the method {names.name!r} already; give yours another name")
    for other in HOOKS:
        for found in zoo.components(other).get(names.name, ()):
            raise KdzooError(
                f"{found.plugin.distribution} has the {other} {names.name!r} already; give yours another name"
            )
    if zoo.has(names.distribution):
        raise KdzooError(f"{names.distribution} is installed already; give yours another name")


def core_range(version: str = __version__) -> str:
    """The versions of the core that a plugin written today works with, as docs/reference.md promises them.

    ``0.1.0`` -> ``>=0.1,<0.2``, ``1.4.2`` -> ``>=1.4,<2``.
    """
    major, minor = (int(part) for part in version.split(".")[:2])
    until = f"0.{minor + 1}" if major == 0 else str(major + 1)
    return f">={major}.{minor},<{until}"
