"""The methods that a suite compares."""

from __future__ import annotations

from collections.abc import Iterable

from kdzoo.errors import KdzooError, UnknownName
from kdzoo.registry.load import find_method
from kdzoo.registry.model import Registry, Suite
from kdzoo.registry.tuning import EVERY, Budget
from kdzoo.zoo import Zoo


def methods_of(name: str, suite: Suite, registry: Registry, zoo: Zoo) -> list[str]:
    """The methods of the suite ``name``; its baseline is always the first.

    Raises:
        UnknownName: a method is not in the registry.
        KdzooError: a method that the suite names is not installed.
    """
    if suite.methods == "installed":
        wanted: Iterable[str] = (
            method for method, found in registry.methods.items() if zoo.has(*found.packages)
        )
    else:
        wanted = suite.methods
    methods = list(dict.fromkeys([suite.baseline, *wanted]))
    for method in methods:
        packages = find_method(registry, method).packages
        if not zoo.has(*packages):
            raise KdzooError(
                f"suite {name}: method {method} is not installed: pip install {' '.join(packages)}"
            )
    tuned: Iterable[str] = suite.tune.space if isinstance(suite.tune, Budget) else suite.tune
    settings = [suite.settings, *(pair.settings for pair in suite.pairs)]
    for key, named in [("tune", tuned), *(("settings", one) for one in settings)]:
        for method in named:
            if method != EVERY and method not in registry.methods:
                raise UnknownName(f"method in {key} of suite {name}", method, registry.methods)
    return methods
