"""The one-way dependencies: plugins -> kdzoo.api; the core names no algorithm and imports no plugin."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from kdzoo.api import hooks
from kdzoo.registry.load import load_registry

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "kdzoo").rglob("*.py"))
PLUGINS = sorted(
    path
    for path in (ROOT / "plugins").rglob("*.py")
    if not {"tests", "benchmarks"} & set(path.relative_to(ROOT).parts)
)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_plugins_import_the_api_and_nothing_else_of_the_core():
    assert PLUGINS
    for path in PLUGINS:
        package = next(part for part in path.parts if part.startswith("kdzoo_"))
        for name in imports(path):
            root = name.split(".")[0]
            assert root != "kdzoo" or name == "kdzoo.api", f"{path}: imports {name}"
            assert not root.startswith("kdzoo_") or root == package, f"{path}: imports {name}"


def test_the_core_imports_no_plugin():
    for path in CORE:
        assert not [name for name in imports(path) if name.startswith("kdzoo_")], path


ORDER = (
    ("errors", "places", "version", "counter_rng", "deprecation", "cores", "seeds"),
    ("files",),
    ("recipe",),
    ("api",),
    ("zoo", "builtin"),
    ("registry",),
    ("data", "backbone"),
    ("observers",),
    ("engine",),
    ("jobs",),
    ("distiller", "bench", "testing", "scaffold"),
    ("method_task", "cli"),
    ("__main__", "__init__"),
)
"""The core's packages: each imports from its own and from those above it."""


def test_packages_of_the_core_import_upwards_alone():
    level = {name: number for number, names in enumerate(ORDER) for name in names}
    for path in CORE:
        parts = path.relative_to(ROOT / "kdzoo").parts
        own = parts[0] if len(parts) > 1 else path.stem
        for name in imports(path):
            if not name.startswith("kdzoo."):
                continue
            other = name.split(".")[1]
            assert other == own or level[other] < level[own], f"{path}: {own} imports {name}"


ENGLISH = {
    "at",
    "one",
    "average",
    "hard",
    "transfer",
    "dist",
    "branches",
    "joint",
    "replay",
    "fast",
    "ema",  # an argument of timm's training tasks
}
"""Methods and components whose names are words: as identifiers they say nothing."""


def spelled(path: Path) -> Iterator[str]:
    """Every identifier and every string constant that is no prose."""
    for node in ast.walk(ast.parse(path.read_text())):
        for name in ("id", "attr", "arg", "name"):
            identifier = getattr(node, name, None)
            if isinstance(identifier, str) and identifier not in ENGLISH:
                yield identifier
        if (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != "ab"
        ):  # a file mode
            yield node.value


def test_the_core_names_no_algorithm():
    """No method of the registry is a name or a value in the core, and no family of methods is mentioned."""
    registry = load_registry()
    methods = {name for name, entry in registry.methods.items() if entry.category != "baseline"}
    components = {one.name for entry in registry.methods.values() for _, one in entry.components}
    components -= {"offline", "distill", "pretrain"}
    family = re.compile(
        "adversar|data.?free|lifelong|cross.?modal|mutual|quanti[sz]|attention.(transfer|map)", re.IGNORECASE
    )
    categories = ROOT / "kdzoo" / "registry" / "model.py"  # the categories that a registry may name
    for path in CORE:
        if path == categories:
            continue
        named = (methods | components) & {word.lower() for word in spelled(path)}
        assert not named, f"{path}: names {named}"
        assert not family.search(path.read_text()), path


def test_every_hook_is_documented():
    reference = (ROOT / "docs" / "hooks.md").read_text()
    specified = [name for name in vars(hooks) if re.fullmatch(r"kdzoo_\w+", name)]
    assert len(specified) >= 5
    for name in specified:
        assert (getattr(hooks, name).__doc__ or "").strip(), f"{name} has no docstring"
        assert f"`{name}`" in reference, f"{name} is not in docs/hooks.md"


def test_no_file_is_named_utils():
    assert not [path for path in [*CORE, *PLUGINS] if path.stem in ("utils", "helpers", "misc", "common")]
