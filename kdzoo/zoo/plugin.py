"""One installed plugin: where it comes from and whether it works."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from kdzoo.api import hooks
from kdzoo.version import __version__

DISABLED = "KDZOO_DISABLE_PLUGINS"
"""Names of plugins or distributions, with commas between, that are not loaded."""

STRICT = "KDZOO_STRICT_PLUGINS"
"""Set to 1, the first plugin that does not load raises at once instead of being recorded."""


@dataclass
class Plugin:
    """An entry point in the group ``kdzoo``, and what became of it.

    Attributes:
        name: the entry point's name.
        module: the module that it names.
        distribution: the installed distribution, such as ``kdzoo-response``.
        version: that distribution's version.
        broken: why it does not work, in one line; None if it does.
        slow: what it costs everybody who lists it, in one line; None if nothing to speak of.
        loaded: the imported module; None before loading, and where it is broken.
    """

    name: str
    module: str
    distribution: str
    version: str
    entry_point: EntryPoint = field(repr=False)
    broken: str | None = None
    slow: str | None = None
    loaded: ModuleType | None = field(default=None, repr=False)

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks that it implements."""
        return tuple(
            name for name in dir(self.loaded) if _marker(getattr(self.loaded, name, None)) is not None
        )

    @property
    def disabled(self) -> bool:
        """Whether the user switched it off."""
        names = {canonicalize_name(name.strip()) for name in os.environ.get(DISABLED, "").split(",")}
        return bool(names & {canonicalize_name(self.name), canonicalize_name(self.distribution)})

    @property
    def state(self) -> str:
        """``ok``, ``disabled``, or ``broken: reason``."""
        if self.broken:
            return f"broken: {self.broken}"
        return "disabled" if self.disabled else "ok"

    @property
    def source(self) -> str:
        """The distribution and its version."""
        return f"{self.distribution} {self.version}"

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """What the block raises is recorded in :attr:`broken`, behind ``what``; see :data:`STRICT`."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit, infinite recursion: whatever an import can do
            if strict():
                raise
            self.broken = f"{what} {first_line(error)}"

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Code of the plugin runs inside the block: if it imports torch, that is recorded with what it cost."""
        before, started = "torch" in sys.modules, time.process_time()
        try:
            yield
        finally:
            if not before and "torch" in sys.modules:
                seconds = time.process_time() - started
                self.slow = (
                    f"imports torch when it is listed ({seconds:.1f} s): return "
                    "{'name': 'package.module:Class'} from its hooks"
                )

    def load(self) -> None:
        """Import it and check its hooks; failure is recorded in :attr:`broken`."""
        if self.loaded is not None or self.broken is not None or self.disabled:
            return
        with self.guarded("import failed:"):
            self.broken = self._unmet_core()
            if self.broken is None:
                with self.watched():
                    module = self.entry_point.load()
                self.broken = _bad_hooks(module)
                self.loaded = module if self.broken is None else None
        if self.broken is not None and strict():
            raise RuntimeError(f"plugin {self.name} ({self.source}): {self.broken}")

    def _unmet_core(self) -> str | None:
        distribution = self.entry_point.dist
        for text in (distribution.requires or ()) if distribution is not None else ():
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            ours = canonicalize_name(requirement.name) == "kdzoo" and applies
            if ours and not requirement.specifier.contains(__version__, prereleases=True):
                return f"needs kdzoo{requirement.specifier}, this is kdzoo {__version__}"
        return None


def installed() -> list[Plugin]:
    """Every plugin whose entry point is installed, by metadata alone: nothing is imported."""
    found: dict[tuple[str, str], Plugin] = {}
    for entry_point in entry_points(group=hooks.GROUP):
        by = entry_point.dist
        about = (
            by.metadata if by else {"Name": "unknown", "Version": "unknown"}
        )  # parsed each time it is asked for
        name, version = about["Name"], about["Version"]
        plugin = Plugin(entry_point.name, entry_point.module, name, version, entry_point)
        found.setdefault((name, entry_point.name), plugin)
    return sorted(found.values(), key=lambda plugin: (plugin.distribution != "kdzoo", plugin.distribution))


def strict() -> bool:
    """Whether a broken plugin raises at once."""
    return os.environ.get(STRICT, "") not in ("", "0")


def first_line(error: BaseException) -> str:
    """An error in one line: its type and the first line of its text."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _marker(candidate: Any) -> Any:
    return getattr(candidate, f"{hooks.GROUP}_impl", None)


def _bad_hooks(module: ModuleType) -> str | None:
    known = {name for name in vars(hooks) if re.match(r"kdzoo_[a-z]+$", name)}
    for name, candidate in vars(module).items():
        if _marker(candidate) is None:
            if name in known and callable(candidate):
                return f"{name} lacks the decorator @hookimpl"
            continue
        if name not in known:
            return f"unknown hook {name}; known: {', '.join(sorted(known))}"
        code = getattr(candidate, "__code__", None)
        if code is None or code.co_argcount or code.co_kwonlyargcount:
            return f"hook {name} takes no arguments"
    return None
