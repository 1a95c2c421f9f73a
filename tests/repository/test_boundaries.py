"""The one-way dependencies: plugins -> kdzoo.api; the core names no algorithm and imports no plugin."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    ("errors", "markdown", "version", "counter_rng", "deprecation", "cores", "seeds", "stopping"),
    ("files", "page", "places", "processes", "yaml_text"),
    ("owner",),
    ("recipe",),
    ("api",),
    ("zoo", "builtin"),
    ("registry",),
    ("data", "backbone"),
    ("observers",),
    ("engine",),
    ("jobs",),
    ("loops", "use"),
    ("distiller", "bench", "testing", "scaffold"),
    ("method_task", "cli"),
    ("python",),
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
    "features",
    "proxy",
    "queue",
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
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value not in ("ab", "features", "int8")
        ):  # a file mode, a key of Hugging Face's data sets, a form of exported files
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
    words = {
        ROOT / "kdzoo" / "registry" / "model.py",  # the categories that a registry may name
        ROOT / "kdzoo" / "use" / "eight_bit.py",  # modules of onnxruntime and torch that round exported files
    }
    for path in CORE:
        if path in words:
            continue
        named = (methods | components) & {word.lower() for word in spelled(path)}
        assert not named, f"{path}: names {named}"
        assert not family.search(path.read_text()), path


PATCHING = {"setattr", "delattr", "setitem", "delitem", "object", "patch", "multiple"}
"""Functions of pytest's monkeypatch and of unittest.mock that replace an attribute or an item."""


def tracked() -> list[Path]:
    """Every Python file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).exists()]


def ours(module: str) -> bool:
    return module.split(".")[0] == "kdzoo" or module.startswith("kdzoo_")


def imported_from_us(tree: ast.AST) -> set[str]:
    """The names under which a file knows modules, classes and values of ours."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {one.asname or one.name.split(".")[0] for one in node.names if ours(one.name)}
        elif isinstance(node, ast.ImportFrom) and not node.level and ours(node.module or ""):
            names |= {one.asname or one.name for one in node.names}
    return names


def root(node: ast.AST) -> str | None:
    """``a`` of ``a.b.c`` and ``a[b].c``; None where it begins with a call or a literal."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def patches(source: str) -> list[int]:
    """The lines that assign to an attribute of something of ours."""
    tree = ast.parse(source)
    names = imported_from_us(tree)
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [node.target]
            flat = [inner for one in targets for inner in (one.elts if isinstance(one, ast.Tuple) else [one])]
            # A lambda in the place of a method is a patch, whatever the object is.
            if any(isinstance(one, ast.Attribute) and root(one) in names for one in flat) or (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Lambda)
                and any(isinstance(one, ast.Attribute) and root(one) != "self" for one in flat)
            ):
                lines.append(node.lineno)
        elif isinstance(node, ast.Call) and node.args:
            function, target = node.func, node.args[0]
            called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
            if called not in PATCHING:
                continue
            named = isinstance(target, ast.Constant) and isinstance(target.value, str) and ours(target.value)
            if named or root(target) in names:
                lines.append(node.lineno)
    return sorted(lines)


def test_no_file_changes_an_attribute_of_our_classes_and_modules():
    """A patch depends on internals and can silently stop working with their next change.

    To observe a run, use a listener; for other behaviour, pass a subclass or an argument. Patches of the
    standard library and of other people's packages are allowed.
    """
    files = tracked()
    assert Path(__file__) in files
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files for line in patches(path.read_text())]
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        "monkeypatch.setattr(Loop, 'train', None)",
        "monkeypatch.setattr(loop.time, 'monotonic', None)",
        "monkeypatch.setattr('kdzoo.jobs.train.conduct', None)",
        "patch.object(Loop, 'train')",
        "mock.patch('kdzoo_response.kd.KD')",
        "setattr(Loop, 'train', None)",
        "Loop.train = None",
        "loop.Loop.train = None",
        "a, Loop.train = 1, 2",
        "run.scheme.lessons = lambda run, batch: []",
    ],
)
def test_a_patch_is_found(line):
    imported = "import kdzoo.engine.loop as loop\nfrom kdzoo.engine.loop import Loop\n"
    assert patches(imported + line) == [3]


@pytest.mark.parametrize(
    "line",
    [
        "monkeypatch.setattr('sys.argv', [])",
        "monkeypatch.setattr(shutil, 'which', None)",
        "self.look = lambda run: None",
        "run.steps = 3",
        "monkeypatch.setenv('KDZOO_CACHE', 'x')",
    ],
)
def test_what_is_no_patch_is_not(line):
    assert not patches("from kdzoo.engine.loop import Loop\n" + line)


def test_every_hook_is_documented():
    reference = (ROOT / "docs" / "hooks.md").read_text()
    specified = [name for name in vars(hooks) if re.fullmatch(r"kdzoo_\w+", name)]
    assert len(specified) >= 5
    for name in specified:
        assert (getattr(hooks, name).__doc__ or "").strip(), f"{name} has no docstring"
        assert f"`{name}`" in reference, f"{name} is not in docs/hooks.md"


def test_no_file_is_named_utils():
    assert not [path for path in [*CORE, *PLUGINS] if path.stem in ("utils", "helpers", "misc", "common")]
