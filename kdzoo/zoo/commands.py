"""The commands that plugins add to ``kdzoo``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from kdzoo.api import hooks
from kdzoo.errors import KdzooError
from kdzoo.zoo.plugin import Plugin, first_line, strict
from kdzoo.zoo.zoo import PLACE, Zoo

HOOK = "kdzoo_commands"

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Command:
    """A command of a plugin.

    Attributes:
        name: what follows ``kdzoo`` on the command line.
        place: where its function is: ``package.module:function``.
        plugin: the provider.
    """

    name: str
    place: str
    plugin: Plugin

    @property
    def source(self) -> str:
        """The distribution and its version."""
        return f"{self.plugin.distribution} {self.plugin.version}"

    def load(self) -> Callable[..., Any]:
        """Its function, imported now.

        Raises:
            KdzooError: there is no such function.
        """
        try:
            found = EntryPoint(self.name, self.place, hooks.GROUP).load()
            fault = None if callable(found) else "is no function"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit, infinite recursion: whatever an import can do
            if strict():
                raise
            fault = first_line(error)
        if fault is not None:
            raise self.refusal(f"{self.place}: {fault}")
        function: Callable[..., Any] = found
        return function

    def refusal(self, fault: str) -> KdzooError:
        """The error that says why it cannot be run; its plugin is broken from here on."""
        self.plugin.broken = f"command {self.name!r}: {fault}"
        return KdzooError(f"command {self.name!r} of {self.source} does not load: {fault}")


def find_commands(zoo: Zoo, taken: Collection[str]) -> Mapping[str, Command]:
    """Every command of a plugin by name, sorted. Nothing is imported.

    A name that is taken, by the core or by a plugin before, is refused as the fault of the plugin that comes later.
    """
    found: dict[str, Command] = {}
    for plugin, answer in zoo.call(HOOK):
        if not isinstance(answer, Mapping):
            plugin.broken = f"hook {HOOK} must return a mapping from names to places, not {answer!r}"
            continue
        for name, place in answer.items():
            fault = _fault(name, place)
            if fault is None and name in taken:
                fault = f"hook {HOOK}: {name!r} is a command of kdzoo; give yours another name"
            elif fault is None and name in found:
                fault = f"hook {HOOK}: {name!r} is a command of {found[name].source}; give yours another name"
            if fault is None:
                found[name] = Command(name, place, plugin)
            else:
                plugin.broken = fault
    return dict(sorted(found.items()))


def _fault(name: Any, place: Any) -> str | None:
    if isinstance(name, str) and _NAME.fullmatch(name) and isinstance(place, str) and PLACE.fullmatch(place):
        return None
    return (
        f"hook {HOOK} must map names in lower case to places such as 'package.module:function', "
        f"not {name!r} to {place!r}"
    )
