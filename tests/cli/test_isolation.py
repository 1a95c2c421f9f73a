"""A broken plugin is reported, and everything else works; one case for each kind of fault."""

import json
import runpy
import sys
import types
from pathlib import Path

import pytest

from kdzoo.zoo import Zoo

ROOT = Path(__file__).parents[2]

HOOK = "from kdzoo.api import hookimpl\n\n@hookimpl\ndef kdzoo_schemes({arguments}):\n    {body}\n"
FRAGMENT = "from kdzoo.api import hookimpl\n\n@hookimpl\ndef kdzoo_registry():\n    return {content!r}\n"
ANY = "from kdzoo.api import hookimpl\n\n@hookimpl\ndef {hook}():\n    return {answer}\n"
ENTRY = {"title": "Mine", "category": "response", "package": "kdzoo-odd"}
GOOD = HOOK.format(arguments="", body="return {'alone': 'kdzoo_alone_scheme:Alone'}")
SCHEME = """
from kdzoo.api import Scheme


class Alone(Scheme):
    name = "alone"
    kind = "self"

    def enroll(self, run):
        run.enroll("student", run.build("student"))

    def lessons(self, run, batch):
        return []
"""

CASES = {
    "import error": ("import nothing_of_this_name", "import failed: ModuleNotFoundError: No module named"),
    "syntax error": ("x = (", "import failed: SyntaxError"),
    "sys.exit at import": ("import sys; sys.exit(3)", "import failed: SystemExit: 3"),
    "infinite recursion": ("def again(): again()\nagain()", "import failed: RecursionError"),
    "unknown hook": (
        "from kdzoo.api import hookimpl\n@hookimpl\ndef kdzoo_lessons(): return []",
        "unknown hook kdzoo_lessons; known: kdzoo_algorithms, kdzoo_backbones, ",
    ),
    "wrong hook signature": (HOOK.format(arguments="run", body="return []"), "takes no arguments"),
    "hook without its decorator": ("def kdzoo_schemes(): return []", "lacks the decorator @hookimpl"),
    "hook that raises": (
        HOOK.format(arguments="", body="raise ValueError('no luck')"),
        "hook kdzoo_schemes raised ValueError: no luck",
    ),
    "hook that exits": (
        HOOK.format(arguments="", body="raise SystemExit(0)"),
        "hook kdzoo_schemes raised SystemExit: 0",
    ),
    "hook that returns no class": (
        HOOK.format(arguments="", body="return [42]"),
        "must return classes, not 42",
    ),
    "class of another kind": (HOOK.format(arguments="", body="return [int]"), "int is not a subclass of"),
    "component without a name": (
        HOOK.format(
            arguments="", body="from kdzoo.api import Scheme; return [type('Nameless', (Scheme,), {})]"
        ),
        "Nameless has no name",
    ),
    "backbones that are no list": (
        ANY.format(hook="kdzoo_backbones", answer="'kdzoo_odd.networks'"),
        "hook kdzoo_backbones must return a list of modules such as ['package.module'], not 'kdzoo_odd.networks'",
    ),
    "backbones that are no modules": (
        ANY.format(hook="kdzoo_backbones", answer="[len]"),
        "hook kdzoo_backbones must return a list of modules",
    ),
    "data set that is nowhere": (
        ANY.format(hook="kdzoo_datasets", answer="{'odd': 'kdzoo_odd'}"),
        "hook kdzoo_datasets must map names to places such as 'package.module:Class', not 'odd' to 'kdzoo_odd'",
    ),
    "data set of another kind": (
        ANY.format(hook="kdzoo_datasets", answer="[int]"),
        "int is not a subclass of kdzoo.api.source.DataSource",
    ),
    "data set of the core": (
        ANY.format(hook="kdzoo_datasets", answer="{'digits': 'kdzoo_odd:Digits'}"),
        "dataset 'digits' is the core's; give yours another name",
    ),
    "commands that are no mapping": (
        ANY.format(hook="kdzoo_commands", answer="[print]"),
        "hook kdzoo_commands must return a mapping from names to places, not [<built-in function print>]",
    ),
    "command that is nowhere": (
        ANY.format(hook="kdzoo_commands", answer="{'odd': print}"),
        "hook kdzoo_commands must map names in lower case to places such as 'package.module:function'",
    ),
    "command of the core": (
        ANY.format(hook="kdzoo_commands", answer="{'distill': 'kdzoo_odd:distill'}"),
        "hook kdzoo_commands: 'distill' is a command of kdzoo; give yours another name",
    ),
    "fragment that does not validate": (
        FRAGMENT.format(content={"methods": {"mine": {**ENTRY, "category": "Magic!"}}}),
        "registry fragment: content: methods.mine.category",
    ),
    "fragment with an unknown key": (
        FRAGMENT.format(content={"methods": {"mine": {**ENTRY, "knowlege": "kd"}}}),
        "registry fragment: content: methods.mine.knowlege",
    ),
    "fragment that names what is there": (
        FRAGMENT.format(content={"methods": {"kd": ENTRY}}),
        "registry fragment: kdzoo-odd: the method 'kd' is already in the registry, by kdzoo",
    ),
    "fragment that is no mapping": (FRAGMENT.format(content=[1]), "registry fragment: content"),
    "fragment in no file": (
        "from pathlib import Path\n"
        "from kdzoo.api import hookimpl\n@hookimpl\ndef kdzoo_registry(): return Path('nowhere.yaml')",
        "registry fragment: nowhere.yaml: No such file",
    ),
}


@pytest.fixture
def alone(install, tmp_path):
    """A plugin that is as it should be."""
    install("kdzoo-alone", GOOD)
    (tmp_path / "kdzoo_alone_scheme.py").write_text(SCHEME)
    yield
    sys.modules.pop("kdzoo_alone_scheme", None)


def states(kdzoo):
    answer = kdzoo("plugins", "--json")
    assert answer.code == 0, answer.err
    return {row["distribution"]: row for row in json.loads(answer.out)}


def everything_else_works(kdzoo):
    """The other plugins are ok, the methods are listed, the good plugin's scheme can be used; what of the odd one?"""
    rows = states(kdzoo)
    others = {name: row["state"] for name, row in rows.items() if name != "kdzoo-odd"}
    assert len(others) >= 15
    assert set(others.values()) == {"ok"}
    listed = kdzoo("list", "--json")
    assert listed.code == 0
    assert {"kd", "fitnet", "dml"} <= {row["method"] for row in json.loads(listed.out)["methods"]}
    assert Zoo().find("scheme", "alone").component.kind == "self"
    return rows["kdzoo-odd"]


@pytest.mark.parametrize("case", CASES)
def test_it_is_recorded_and_everything_else_works(case, install, alone, kdzoo):
    source, says = CASES[case]
    install("kdzoo-odd", source)
    row = everything_else_works(kdzoo)
    assert row["state"].startswith("broken: ")
    assert says in row["state"]
    assert row["version"] == "1.2.3"
    assert says in kdzoo("plugins").out


def test_an_unmet_core_version_is_recorded_without_importing(install, alone, kdzoo):
    install("kdzoo-odd", "raise AssertionError('imported')", requires=("kdzoo>=99",))
    assert "broken: needs kdzoo>=99, this is kdzoo 0." in everything_else_works(kdzoo)["state"]


def test_two_distributions_with_one_name_are_both_named_where_it_is_used(install, alone, kdzoo):
    install("kdzoo-odd", GOOD)
    refused = kdzoo("distill", "--method", "kd", "--scheme", "alone", "--student", "test_resnet")
    assert refused.code == 2
    assert "scheme 'alone' is provided twice, by kdzoo-alone 1.2.3 and kdzoo-odd 1.2.3" in refused.err
    assert refused.err.count("\n") == 1
    assert {"ok"} == {row["state"] for row in states(kdzoo).values()}
    assert kdzoo("show", "kd").code == 0


def test_torch_at_import_is_a_warning_with_what_it_cost(install, alone, kdzoo, monkeypatch):
    source = "import sys, types\nsys.modules['torch'] = types.ModuleType('torch')"
    install("kdzoo-odd", source)
    monkeypatch.delitem(sys.modules, "torch")
    row = states(kdzoo)["kdzoo-odd"]
    assert row["state"] == "ok"
    assert row["warning"].startswith("imports torch when it is listed (0.0 s)")


def test_with_twenty_plugins_listing_does_not_import_torch(tmp_path):
    """What it costs is in docs/benchmarks/startup.md, measured by the same functions."""
    startup = types.SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "startup.py")))
    startup.populate(tmp_path)
    for command in startup.COMMANDS:
        _, imports_torch = startup.measure(command, tmp_path)
        assert not imports_torch, command
