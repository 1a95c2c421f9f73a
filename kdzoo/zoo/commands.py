"""The commands that plugins add to ``kdzoo``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from kdzoo.zoo.zoo import PLACE, Found, Zoo

HOOK = "kdzoo_commands"

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def find_commands(zoo: Zoo, taken: Collection[str]) -> Mapping[str, Found]:
    """Every command of a plugin by name, sorted. Nothing is imported.

    A name that is taken, by the core or by a plugin before, is refused as the fault of the plugin that comes later.
    """
    found: dict[str, Found] = {}
    for plugin, answer in zoo.call(HOOK):
        if not isinstance(answer, Mapping):
            plugin.broken = f"hook {HOOK} must return a mapping from names to places, not {answer!r}"
            continue
        for name, place in answer.items():
            named = isinstance(name, str) and _NAME.fullmatch(name)
            if not (named and isinstance(place, str) and PLACE.fullmatch(place)):
                plugin.broken = (
                    f"hook {HOOK} must map names in lower case to places such as 'package.module:function', "
                    f"not {name!r} to {place!r}"
                )
            elif name in taken or name in found:
                owner = found[name].plugin.source if name in found else "kdzoo"
                plugin.broken = f"hook {HOOK}: {name!r} is a command of {owner}; give yours another name"
            else:
                found[name] = Found("command", place, plugin, name)
    return dict(sorted(found.items()))
