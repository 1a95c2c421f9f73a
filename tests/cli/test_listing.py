import json
import re
import subprocess
import sys

import pytest
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


@pytest.fixture
def elsewhere(tmp_path):
    """A registry file with a method of a package that nobody has, beside one of the core."""
    path = tmp_path / "registry.yaml"
    path.write_text(
        "methods: {far: {title: From far away, category: response, package: kdzoo-far, needs: [kdzoo-near], "
        "knowledge: far}}"
    )
    return str(path)


def test_a_method_whose_package_is_missing_is_listed_with_the_command_that_installs_it(kdzoo, elsewhere):
    lines = kdzoo("list", "--registry", elsewhere).out.splitlines()
    (line,) = (one for one in lines if one.startswith("far "))
    assert line.endswith("From far away  (not installed: pip install kdzoo-far kdzoo-near)")
    installed = kdzoo("list", "--registry", elsewhere, "--installed").out
    assert "far " not in installed
    assert len(installed.splitlines()) == len(lines) - 1
    shown = kdzoo("show", "far", "--registry", elsewhere)
    assert shown.code == 0
    assert "not installed: pip install kdzoo-far kdzoo-near" in shown.out


@pytest.mark.parametrize("option", ["--family", "--category"])
def test_list_filters_by_family(kdzoo, option):
    rows = json.loads(kdzoo("list", option, "online", "--json").out)["methods"]
    assert {row["category"] for row in rows} == {"online"}
    refused = kdzoo("list", option, "onlin")
    assert (refused.code, refused.err) == (2, "kdzoo: unknown family 'onlin'; did you mean online?\n")


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("MKD", {"ca-mkd", "cmkd", "simkd"}),  # the name
        ("reused teacher", {"simkd"}),  # the title
        ("of the wrong classes", {"kd"}),  # the summary
        ("Zagoruyko", {"at", "at-kd"}),  # the authors
        ("no such word", set()),
    ],
)
def test_list_searches(kdzoo, word, names):
    answer = kdzoo("list", "--search", word)
    assert answer.code == 0
    assert {line.split()[0] for line in answer.out.splitlines()} == names
    assert ("no method matches" in answer.err) == (not names)


def test_in_a_pipe_every_line_is_a_method_with_its_family_and_year(kdzoo, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    lines = kdzoo("list").out.splitlines()
    assert len(lines) == len(METHODS)
    for line in lines:
        name, family, year, title = line.split(maxsplit=3)
        method = METHODS[name]
        assert (family, title) == (method["category"], method["title"])
        assert year == (str(method["paper"]["year"]) if "paper" in method else "-")


@pytest.mark.parametrize("columns", [80, 40])
def test_on_a_terminal_methods_stand_below_their_family_one_line_each(terminal, columns):
    lines = terminal("list", columns=columns)
    assert max(map(len, lines)) <= columns
    families = [line for line in lines if line and not line.startswith((" ", "suites"))]
    assert families[:3] == ["baseline", "response", "feature"]
    assert len(families) == len({method["category"] for method in METHODS.values()})
    rows = dict(line.split(maxsplit=1) for line in lines if re.match(r"  \S", line))
    assert METHODS.keys() <= rows.keys()  # whole names
    for name, rest in rows.items():
        title = METHODS[name]["title"] if name in METHODS else ""
        assert rest.endswith("…") or rest.endswith(title)


def test_a_terminal_too_narrow_for_titles_shows_whole_names(terminal):
    lines = terminal("list", "--family", "feature", columns=10)
    assert any(line.startswith("  fitnet-two-phase  2015") for line in lines)


def test_what_is_not_installed_is_marked_on_a_terminal(terminal, elsewhere):
    lines = terminal("list", "--registry", elsewhere, columns=80)
    assert "  far                     –  From far away  not installed" in lines
    assert lines[-1] == "kdzoo install METHOD installs the package of a method"
    assert max(map(len, lines)) <= 80


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


@pytest.mark.slow
def test_every_method_can_be_shown_in_eighty_columns(terminal):
    for name in METHODS:
        for line in terminal("show", name, columns=80):
            assert len(line) <= 80, f"{name}: {line}"


def test_a_hyperparameter_has_a_line_and_its_meaning_below(kdzoo, terminal):
    lines = terminal("show", "kd", columns=80)
    at = lines.index("  knowledge.temperature = 4.0  (float > 0, default 4.0)")
    assert lines[at + 1 : at + 3] == [
        "      divides both networks' logits; a higher one gives more weight to the wrong",
        "      classes.",
    ]
    assert "  algorithm.task_weight = 0.1  (float ≥ 0, default 1.0)" in lines
    piped = kdzoo("show", "kd").out.splitlines()
    assert (
        "      divides both networks' logits; a higher one gives more weight to the wrong classes." in piped
    )


def test_a_key_is_not_broken_on_a_narrow_terminal(terminal):
    assert any(
        line.startswith("  knowledge.temperature = 4.0") for line in terminal("show", "kd", columns=30)
    )


def test_a_hyperparameter_that_must_be_set_says_so(kdzoo):
    assert "\n  scheme.labels  (Path, required)\n" in kdzoo("show", "expert-labels").out


def test_plugins_are_listed_with_components_and_state(kdzoo):
    rows = json.loads(kdzoo("plugins", "--json").out)
    assert all(row["state"] == "ok" for row in rows)
    by_name = {row["distribution"]: row for row in rows}
    assert {"algorithm distill", "scheme offline"} <= set(by_name["kdzoo"]["components"])
    assert "knowledge kd" in by_name["kdzoo-response"]["components"]


def test_each_part_of_a_sum_is_shown_with_the_keys_that_set_it(kdzoo, tmp_path):
    more = tmp_path / "more.yaml"
    more.write_text(
        "methods: {both: {title: Both, category: response, package: kdzoo-response,"
        " knowledge: [{name: kd, weight: 0.9, temperature: 2.0}, at]}}"
    )
    shown = kdzoo("show", "both", "--registry", more).out
    assert "\n  knowledge.kd.weight = 0.9  (float ≥ 0, default 1.0)\n" in shown
    assert "\n  knowledge.kd.temperature = 2.0  (float > 0, default 4.0)\n" in shown
    assert "\n  knowledge.at.weight = 1.0  (float ≥ 0, default 1.0)\n" in shown


def test_a_plugin_has_a_line_and_what_it_brings_below(terminal):
    lines = terminal("plugins", columns=80)
    assert max(map(len, lines)) <= 80
    at = next(number for number, line in enumerate(lines) if line.startswith("kdzoo-feature "))
    assert re.fullmatch(r"kdzoo-feature +\d+\.\d+\.\d+\S* +ok", lines[at])
    assert lines[at + 1].startswith("    knowledge: ab, fitnet, ")
    assert lines[at + 2] == "    algorithm: factor-transfer, simkd"


def test_help_and_list_do_not_import_torch():
    code = (
        "import sys; sys.argv = ['kdzoo', *{!r}]\n"
        "from kdzoo.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'wandb' not in sys.modules, 'heavy imports'"
    )
    for arguments in (["--help"], ["list"], ["distill", "--help"]):
        subprocess.run([sys.executable, "-c", code.format(arguments)], check=True, stdout=subprocess.DEVNULL)
