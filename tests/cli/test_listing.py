import json
import subprocess
import sys

import yaml

from kdzoo.registry.load import shipped_file

METHODS = yaml.safe_load(shipped_file().read_text())["methods"]


def test_list_shows_every_method_of_the_registry(kdzoo):
    answer = kdzoo("list")
    assert answer.code == 0
    for name in METHODS:
        assert f"\n{name} " in answer.out or answer.out.startswith(f"{name} ")
    rows = json.loads(kdzoo("list", "--json").out)["methods"]
    assert {row["method"] for row in rows} == set(METHODS)
    assert all(row["installed"] for row in rows)


def test_a_method_whose_package_is_missing_is_listed_with_the_command_that_installs_it(kdzoo, monkeypatch):
    monkeypatch.setattr("kdzoo.zoo.zoo.Zoo.has", lambda self, *distributions: set(distributions) == {"kdzoo"})
    answer = kdzoo("list")
    assert "pip install kdzoo-response" in answer.out
    shown = kdzoo("show", "dkd")
    assert shown.code == 0
    assert "not installed: pip install kdzoo-response" in shown.out


def test_list_filters_by_category(kdzoo):
    rows = json.loads(kdzoo("list", "--category", "online", "--json").out)["methods"]
    assert {row["category"] for row in rows} == {"online"}
    refused = kdzoo("list", "--category", "onlin")
    assert (refused.code, refused.err) == (2, "kdzoo: unknown category 'onlin'; did you mean online?\n")


def test_show_has_components_hyperparameters_paper_and_citation(kdzoo):
    answer = kdzoo("show", "kd")
    for part in (
        "knowledge.temperature",
        "> 0",
        "4.0",
        "algorithm.teach_weight",
        "Hinton",
        "arXiv:1503.02531",
    ):
        assert part in answer.out
    content = json.loads(kdzoo("show", "dml", "--json").out)
    assert content["cite"].startswith("Zhang")
    keys = [one["key"] for part in content["components"] for one in part["hyperparameters"]]
    assert "scheme.peers" in keys


def test_every_method_can_be_shown(kdzoo):
    for name in METHODS:
        assert kdzoo("show", name).code == 0


def test_plugins_are_listed_with_components_and_state(kdzoo):
    rows = json.loads(kdzoo("plugins", "--json").out)
    assert all(row["state"] == "ok" for row in rows)
    by_name = {row["distribution"]: row for row in rows}
    assert {"algorithm distill", "scheme offline"} <= set(by_name["kdzoo"]["components"])
    assert "knowledge kd" in by_name["kdzoo-response"]["components"]


def test_help_and_list_do_not_import_torch():
    code = (
        "import sys; sys.argv = ['kdzoo', {!r}]\n"
        "from kdzoo.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'wandb' not in sys.modules, 'heavy imports'"
    )
    for argument in ("--help", "list"):
        subprocess.run([sys.executable, "-c", code.format(argument)], check=True, stdout=subprocess.DEVNULL)
