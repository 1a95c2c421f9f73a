"""The modules that plugins name in ``kdzoo_backbones``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kdzoo.zoo.plugin import Plugin
from kdzoo.zoo.zoo import Zoo

HOOK = "kdzoo_backbones"

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def named_modules(zoo: Zoo) -> Iterator[tuple[Plugin, str]]:
    """(plugin, module) for every module that a working plugin names; what is no module's name breaks its plugin."""
    for plugin, answer in zoo.call(HOOK):
        modules = answer if isinstance(answer, list | tuple) else [answer]
        wrong = [one for one in modules if not isinstance(one, str) or not _MODULE.fullmatch(one)]
        if wrong or modules is not answer:
            plugin.broken = (
                f"hook {HOOK} must return a list of modules such as ['package.module'], not {answer!r}"
            )
            continue
        yield from ((plugin, module) for module in modules)
