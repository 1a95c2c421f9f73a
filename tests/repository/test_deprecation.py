"""A deprecated name warns in one line, keeps working, and is removed in its version."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.version import Version

from kdzoo.deprecation import deprecated, warn_deprecated
from kdzoo.version import __version__

ROOT = Path(__file__).parents[2]
WHEN = ("since", "remove")
NAMES = {deprecated.__name__, warn_deprecated.__name__}


def uses(source: str) -> Iterator[tuple[int, str, str]]:
    """(line, since, remove) of each use; the versions must be written out."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called in NAMES:
            given = {part.arg: ast.literal_eval(part.value) for part in node.keywords if part.arg in WHEN}
            yield node.lineno, given["since"], given["remove"]


def wrong(source: str, version: str) -> list[str]:
    """What a maintainer of ``version`` must do."""
    now = Version(version).release[:2]
    found = []
    for line, since, remove in uses(source):
        first, last = Version(since).release, Version(remove).release
        if last <= first or (first >= (1,) and last[0] == first[0]):
            found.append(f"{line}: removed in {remove}, which is too early for what {since} deprecates")
        if now >= last:
            found.append(f"{line}: due for removal in {remove}, and this is {version}")
    return found


def test_nothing_in_the_repository_is_due():
    files = [path for folder in ("kdzoo", "plugins") for path in sorted((ROOT / folder).rglob("*.py"))]
    helper = ROOT / "kdzoo" / "deprecation.py"
    due = [
        f"{path}:{one}" for path in files if path != helper for one in wrong(path.read_text(), __version__)
    ]
    assert not due, "\n".join(due)


@pytest.mark.parametrize(
    ("since", "remove", "version", "expected"),
    [
        ("0.2", "0.4", "0.3.9", []),
        ("0.2", "0.4", "0.4.0", ["1: due for removal in 0.4, and this is 0.4.0"]),
        ("0.2", "0.4", "0.4.0.dev0", ["1: due for removal in 0.4, and this is 0.4.0.dev0"]),
        ("1.3", "2", "1.9.0", []),
        ("1.3", "1.5", "1.3.0", ["1: removed in 1.5, which is too early for what 1.3 deprecates"]),
    ],
)
def test_what_is_due_is_found(since, remove, version, expected):
    assert wrong(f'deprecated("old", since="{since}", remove="{remove}", instead="new")', version) == expected


def test_a_deprecated_function_warns_where_it_is_called_and_does_what_it_did():
    @deprecated("old", since="0.2", remove="0.4", instead="new")
    def old(value: int, *, add: int = 1) -> int:
        """What it does."""
        return value + add

    message = "^old is deprecated since kdzoo 0.2 and will be removed in 0.4: use new$"
    with pytest.warns(DeprecationWarning, match=message) as caught:
        assert old(2, add=3) == 5
    assert [one.filename for one in caught] == [__file__]
    assert old.__doc__ == "What it does."


def test_a_deprecated_argument_warns_where_it_is_given():
    def function(*, old=None):
        if old is not None:
            warn_deprecated("old=", since="0.2", remove="0.4", instead="new=")

    function()
    with pytest.warns(DeprecationWarning, match=r"^old= is deprecated") as caught:
        function(old=1)
    assert caught[0].filename == __file__
