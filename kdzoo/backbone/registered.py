"""The models that plugins register with timm.

Their modules are imported when a recipe names a model that timm does not know, and not before: a run with timm's own
models runs no code of theirs, and their order decides nothing.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from timm.models import is_model, list_models, model_entrypoint, register_model, split_model_name_tag

from kdzoo.zoo import Zoo
from kdzoo.zoo.modules import named_modules
from kdzoo.zoo.plugin import Plugin


def registered(zoo: Zoo) -> Mapping[str, Plugin]:
    """Import the modules that plugins name in ``kdzoo_backbones``; model -> the plugin that brought it.

    A module that cannot be imported breaks its plugin. So does one that registers a name which is there already: the
    model that had it keeps it, so that a name means the same whatever was imported before.
    """
    named: dict[str, Plugin] = {}
    for plugin, module in named_modules(zoo):
        before = _entrypoints()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Overwriting .* in registry")  # it is refused below
            with plugin.guarded(f"backbones of {module}:"):
                importlib.import_module(module)
                named.setdefault(_package(module), plugin)
            replaced = [name for name, now in _entrypoints().items() if before.get(name, now) is not now]
            for name in replaced:
                register_model(before[name])
        if replaced:
            plugin.broken = (
                f"backbones of {module}: timm has a model {replaced[0]!r}; give yours another name"
            )
    found = {name: named.get(_package(model.__module__)) for name, model in _entrypoints().items()}
    return {name: plugin for name, plugin in found.items() if plugin is not None}


def make_known(name: str, zoo: Zoo | None) -> str:
    """See that timm knows the architecture ``name`` (no tag), if a plugin of ``zoo``, or an installed one, has it.

    Returns:
        A hint at the plugins that do not load; empty if timm knew the model.
    """
    if is_model(name):
        return ""
    zoo = zoo or Zoo()
    registered(zoo)
    return zoo.hint


def architecture(model: str) -> str:
    """The architecture that a role's ``model`` names: without its tag; of an exported folder, what the folder says.

    Empty if it is not known: a folder without a description, or a model on the hub that is not downloaded.
    """
    source, _, rest = model.rpartition(":")
    if not source:
        return str(split_model_name_tag(rest)[0])
    if source != "local-dir":
        return ""
    try:
        described = (Path(rest).expanduser() / "config.json").read_text(encoding="utf-8")
        return str(json.loads(described)["architecture"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def provider(model: str, zoo: Zoo) -> Plugin | None:
    """The plugin that brings the network which a role's ``model`` names; None if it is timm's, or nobody's."""
    known = architecture(model)
    if known:
        make_known(known, zoo)
    owner = _package(model_entrypoint(known).__module__) if is_model(known) else "timm"
    if owner == "timm":
        return None
    return next((plugin for plugin, module in named_modules(zoo) if _package(module) == owner), None)


def _entrypoints() -> dict[str, Callable[..., Any]]:
    return {name: model_entrypoint(name) for name in list_models()}


def _package(module: str) -> str:
    return module.partition(".")[0]
