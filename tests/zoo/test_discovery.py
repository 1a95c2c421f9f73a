import importlib
import sys

import pytest

from kdzoo.errors import KdzooError, UnknownName
from kdzoo.zoo import Zoo

GOOD = """
from kdzoo.api import hookimpl

@hookimpl
def kdzoo_schemes():
    from kdzoo.api import Scheme

    class Alone(Scheme):
        name = "alone"
        kind = "self"
        def enroll(self, run): ...
        def lessons(self, run, batch): return []

    return [Alone]
"""


def state(zoo: Zoo, distribution: str) -> str | None:
    return next(plugin.broken for plugin in zoo.plugins if plugin.distribution == distribution)


def test_a_plugin_is_found_by_its_entry_point(install):
    install("kdzoo-alone", GOOD)
    found = Zoo().find("scheme", "alone")
    assert (found.name, found.plugin.distribution, found.plugin.version) == ("alone", "kdzoo-alone", "1.2.3")
    assert found.plugin.hooks == ("kdzoo_schemes",)


def test_a_missing_component_may_be_in_a_plugin_that_does_not_load(install):
    install("kdzoo-broken", "import nothing_of_this_name")
    with pytest.raises(UnknownName, match=r"plugins that do not load: kdzoo-broken \(import failed"):
        Zoo().find("scheme", "missing")


def test_strict_mode_raises_at_once(install, monkeypatch):
    monkeypatch.setenv("KDZOO_STRICT_PLUGINS", "1")
    install("kdzoo-broken", "import nothing_of_this_name")
    with pytest.raises(ModuleNotFoundError):
        _ = Zoo().plugins


def test_the_nearest_names_are_offered():
    with pytest.raises(UnknownName, match="did you mean offline"):
        Zoo().find("scheme", "ofline")


LAZY = """
from kdzoo.api import hookimpl

@hookimpl
def kdzoo_schemes():
    return {names!r}
"""

CLASS = """
from kdzoo.api import Scheme

class Alone(Scheme):
    name = "alone"
    kind = "self"
    def enroll(self, run): ...
    def lessons(self, run, batch): return []
"""


def test_a_component_is_imported_when_it_is_asked_for(install, tmp_path, monkeypatch):
    install("kdzoo-lazy", LAZY.format(names={"alone": "alone_in_its_file:Alone"}))
    zoo = Zoo()
    assert "alone" in zoo.components("scheme")
    assert "alone_in_its_file" not in sys.modules
    (tmp_path / "alone_in_its_file.py").write_text(CLASS)
    importlib.invalidate_caches()
    assert zoo.find("scheme", "alone").component.kind == "self"
    monkeypatch.delitem(sys.modules, "alone_in_its_file")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"alone": "no_such_module:Alone"}, "no_such_module:Alone: ModuleNotFoundError"),
        ({"alone": "kdzoo.builtin.offline:Alone"}, "kdzoo.builtin.offline:Alone: AttributeError"),
        ({"alone": "kdzoo.builtin.offline:Offline"}, "is called 'offline' there"),
        ({"alone": "kdzoo.builtin.distill:Distill"}, "is not a subclass of kdzoo.api.scheme.Scheme"),
    ],
)
def test_a_place_without_its_component_breaks_its_plugin_when_asked_for(install, names, says):
    install("kdzoo-lazy", LAZY.format(names=names))
    zoo = Zoo()
    found = zoo.find("scheme", "alone")
    assert state(zoo, "kdzoo-lazy") is None
    with pytest.raises(KdzooError, match=r"scheme 'alone' of kdzoo-lazy 1\.2\.3 does not load") as error:
        _ = found.component
    assert says in str(error.value)
    assert says in state(zoo, "kdzoo-lazy")


@pytest.mark.parametrize("names", [{"alone": "nowhere"}, {"alone": 3}, {3: "a:B"}])
def test_names_and_places_are_checked(install, names):
    install("kdzoo-lazy", LAZY.format(names=names))
    zoo = Zoo()
    assert "offline" in zoo.components("scheme")
    assert "must map names to places such as 'package.module:Class'" in state(zoo, "kdzoo-lazy")


@pytest.mark.parametrize("name", ["kdzoo-alone", "KDZOO_Alone", "other, kdzoo-alone"])
def test_a_disabled_plugin_is_not_imported(install, monkeypatch, name):
    install("kdzoo-alone", "raise AssertionError('imported')")
    monkeypatch.setenv("KDZOO_DISABLE_PLUGINS", name)
    zoo = Zoo()
    (plugin,) = [one for one in zoo.plugins if one.distribution == "kdzoo-alone"]
    assert plugin.state == "disabled"
    with pytest.raises(UnknownName, match=r"kdzoo-alone \(disabled\)"):
        zoo.find("scheme", "alone")
