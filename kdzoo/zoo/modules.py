"""The modules that plugins name in ``kdzoo_backbones``."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

from kdzoo.zoo.plugin import Plugin, first_line, strict
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


def import_module(plugin: Plugin, module: str) -> bool:
    """Import one of them; failure is recorded as the plugin's fault. Whether it is imported."""
    try:
        importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit, infinite recursion: whatever an import can do
        if strict():
            raise
        plugin.broken = f"backbones of {module}: {first_line(error)}"
        return False
    return True
