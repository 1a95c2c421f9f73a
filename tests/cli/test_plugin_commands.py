"""``kdzoo NAME`` where a plugin brings the command."""

import json
import sys

import pytest

HOOK = "from kdzoo.api import hookimpl\n\n@hookimpl\ndef kdzoo_commands():\n    return {commands!r}\n"
WEIGH = """
from typing import Annotated

import typer

from kdzoo.api import KdzooError


def weigh(
    model: Annotated[str, typer.Argument(help="A model.")],
    times: Annotated[int, typer.Option(help="How often.")] = 1,
) -> None:
    \"\"\"Say what a model weighs.\"\"\"
    if model == "exit":
        raise typer.Exit(3)
    if model == "mend":
        raise KdzooError("this can be put right")
    if model == "odd":
        raise typer.BadParameter("odd it is")
    print(f"{model}: {6 / times:g} kg")


def bad(model: int | str) -> None: ...


constant = 3
"""


@pytest.fixture
def plugin(install, tmp_path):
    """plugin("kdzoo-scales", weigh="weighing:weigh") -> a distribution with these commands."""
    (tmp_path / "weighing.py").write_text(WEIGH)

    def make(distribution, **commands):
        install(distribution, HOOK.format(commands=commands))

    yield make
    sys.modules.pop("weighing", None)


def states(kdzoo):
    return {row["distribution"]: row for row in json.loads(kdzoo("plugins", "--json").out)}


def test_it_is_listed_without_being_imported_and_runs(plugin, kdzoo):
    plugin("kdzoo-scales", weigh="weighing:weigh")
    listed = kdzoo("--help")
    assert listed.code == 0
    (line,) = [line for line in listed.out.splitlines() if "weigh" in line]
    assert "(from kdzoo-scales)" in line
    assert states(kdzoo)["kdzoo-scales"]["components"] == ["command weigh"]
    assert "weighing" not in sys.modules
    assert kdzoo("weigh", "resnet18", "--times", 2).out == "resnet18: 3 kg\n"


def test_it_has_a_help_page_of_its_own(plugin, kdzoo):
    plugin("kdzoo-scales", weigh="weighing:weigh")
    for flag in ("--help", "-h"):
        shown = kdzoo("weigh", flag)
        assert shown.code == 0
        assert "kdzoo weigh [OPTIONS] {model}" in shown.out or "kdzoo weigh [OPTIONS] MODEL" in shown.out
        assert "Say what a model weighs." in shown.out
        assert "--times" in shown.out


def test_how_it_ends_is_its_own_affair(plugin, kdzoo):
    plugin("kdzoo-scales", weigh="weighing:weigh")
    assert kdzoo("weigh", "exit").code == 3
    refused = kdzoo("weigh", "mend")
    assert (refused.code, refused.err) == (2, "kdzoo: this can be put right\n")
    for wrong in (("odd",), ("resnet18", "--times", "often"), ("resnet18", "--tims", 1)):
        assert kdzoo("weigh", *wrong).code == 2


def test_an_exception_is_one_line(plugin, kdzoo, monkeypatch):
    plugin("kdzoo-scales", weigh="weighing:weigh")
    failed = kdzoo("weigh", "resnet18", "--times", 0)
    says = "command 'weigh' of kdzoo-scales 1.2.3 failed: ZeroDivisionError: division by zero"
    assert (failed.code, failed.err) == (2, f"kdzoo: {says} (KDZOO_STRICT_PLUGINS=1 shows where)\n")
    monkeypatch.setenv("KDZOO_STRICT_PLUGINS", "1")
    with pytest.raises(ZeroDivisionError):
        kdzoo("weigh", "resnet18", "--times", 0)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (
            "no_such_module:weigh",
            "no_such_module:weigh: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (
            "weighing:nothing",
            "weighing:nothing: AttributeError: module 'weighing' has no attribute 'nothing'",
        ),
        ("weighing:constant", "weighing:constant: is no function"),
        ("weighing:bad", "weighing:bad: AssertionError: Typer currently doesn't support Union types"),
    ],
)
def test_one_that_is_broken_is_one_line_and_the_others_work(place, says, plugin, kdzoo):
    plugin("kdzoo-scales", broken=place, weigh="weighing:weigh")
    refused = kdzoo("broken")
    assert (refused.code, refused.err) == (
        2,
        f"kdzoo: command 'broken' of kdzoo-scales 1.2.3 does not load: {says}\n",
    )
    assert kdzoo("weigh", "resnet18").code == 0
    assert kdzoo("list").code == 0


def test_of_two_plugins_the_first_has_the_name(plugin, kdzoo):
    plugin("kdzoo-a", weigh="weighing:weigh")
    plugin("kdzoo-b", weigh="weighing:bad", measure="weighing:weigh")
    rows = states(kdzoo)
    assert rows["kdzoo-a"]["state"] == "ok"
    assert rows["kdzoo-b"]["state"] == (
        "broken: hook kdzoo_commands: 'weigh' is a command of kdzoo-a 1.2.3; give yours another name"
    )
    assert kdzoo("weigh", "resnet18").out == kdzoo("measure", "resnet18").out


def test_the_core_s_commands_stay_the_core_s(plugin, kdzoo):
    plugin("kdzoo-scales", show="weighing:weigh")
    assert "kdzoo-response" in kdzoo("show", "kd").out or "knowledge" in kdzoo("show", "kd").out
    assert "weighing" not in sys.modules


def test_a_disabled_plugin_has_none(plugin, kdzoo, monkeypatch):
    plugin("kdzoo-scales", weigh="weighing:weigh")
    monkeypatch.setenv("KDZOO_DISABLE_PLUGINS", "kdzoo-scales")
    assert kdzoo("weigh", "resnet18").code == 2
    assert "weigh" not in kdzoo("--help").out


def test_backbones_are_listed_with_their_plugin_first(install, kdzoo, tmp_path):
    install(
        "kdzoo-tiny",
        "from kdzoo.api import hookimpl\n\n@hookimpl\ndef kdzoo_backbones():\n    return ['listed_networks']\n",
    )
    (tmp_path / "listed_networks.py").write_text(
        "from timm.models import register_model\n\n\n@register_model\n"
        "def zz_resnet18_tiny(pretrained=False, **keywords): ...\n"
    )
    lines = kdzoo("list", "--backbones", "ResNet18").out.splitlines()
    assert "zz_resnet18_tiny  (from kdzoo-tiny)" in lines[:2]  # kdzoo-cifar has one too
    assert "resnet18" in lines[1:]
    assert all("resnet18" in line for line in lines)
    rows = json.loads(kdzoo("list", "--backbones", "resnet18", "--json").out)
    assert {"model": "zz_resnet18_tiny", "distribution": "kdzoo-tiny"} in rows[:2]
    assert {row["distribution"] for row in rows[2:]} == {"timm"}
    assert len(kdzoo("list", "--backbones").out.splitlines()) > 1000
    unknown = kdzoo("list", "--backbones", "resnt18")
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert "did you mean resnet18" in unknown.err
    assert states(kdzoo)["kdzoo-tiny"]["components"] == ["backbones listed_networks"]
    sys.modules.pop("listed_networks")


def test_a_word_is_about_backbones(kdzoo):
    refused = kdzoo("list", "kd")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "'kd' needs --backbones" in refused.err


def test_a_category_of_a_plugin_s_own_comes_last(install, kdzoo):
    fragment = {
        "methods": {
            name: {"title": name, "category": category, "package": "kdzoo-own"}
            for name, category in (("mine", "zebra-like"), ("yours", "antelope"))
        }
    }
    install(
        "kdzoo-own",
        f"from kdzoo.api import hookimpl\n\n@hookimpl\ndef kdzoo_registry():\n    return {fragment!r}\n",
    )
    rows = json.loads(kdzoo("list", "--json").out)["methods"]
    order = list(dict.fromkeys(row["category"] for row in rows))
    assert order[:4] == ["baseline", "response", "feature", "relation"]
    assert order[-2:] == ["antelope", "zebra-like"]
    (row,) = json.loads(kdzoo("list", "--category", "antelope", "--json").out)["methods"]
    assert row["method"] == "yours"
    assert states(kdzoo)["kdzoo-own"]["state"] == "ok"
