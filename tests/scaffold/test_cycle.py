"""A third-party plugin from `kdzoo new` to its removal: each kind, from its wheel, in a separate environment."""

import json

import pytest

METHOD = {"knowledge": "newcomer", "scheme": "newcomer", "algorithm": "newcomer", "observer": "baseline"}
SHORT = ["--student", "test_efficientnet", "--epochs", "2", "--train-per-class", "4", "--test-per-class", "2"]
TEACHER = ["--teacher", "test_resnet", "--teacher-epochs", "1"]


@pytest.mark.slow
@pytest.mark.timeout(900)  # eight processes, one of which runs every check of the kit
@pytest.mark.parametrize("kind", METHOD)
def test_it_is_made_built_installed_tested_listed_used_and_gone(kind, environment):
    environment.kdzoo("new", "newcomer", "--kind", kind)
    project = environment.folder / "kdzoo-newcomer"
    wheel = environment.build(project)
    project.rename(project.with_name("sources"))  # what is tested is what the wheel holds
    environment.pip("install", wheel)

    (plugin,) = [one for one in listed(environment) if one["distribution"] == "kdzoo-newcomer"]
    assert plugin["state"] == "ok"
    assert plugin["version"] == "0.1.0"
    assert plugin["components"] == [f"{kind} newcomer"]
    assert plugin["warning"] is None

    if kind != "observer":
        (row,) = [one for one in methods(environment) if one["method"] == "newcomer"]
        assert row["package"] == "kdzoo-newcomer"
        assert row["installed"]

    environment.pytest("sources/tests", "-W", "error")

    observers = "[newcomer]" if kind == "observer" else "[]"
    more = [] if kind == "observer" else TEACHER
    run = environment.folder / "run"
    environment.kdzoo(
        "distill", "--method", METHOD[kind], *SHORT, *more, "--set", f"observers={observers}", "--output", run
    )
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert 0 <= rows[-1]["result"]["test/last"] <= 100
    if kind == "observer":
        assert len((run / "newcomer.txt").read_text().splitlines()) == 2
    else:
        recipe = (run / "recipe.yaml").read_text()
        assert "newcomer" in recipe
        assert "kdzoo-newcomer" in (run / "provenance.json").read_text()

    environment.pip("uninstall", "kdzoo-newcomer")
    assert "kdzoo-newcomer" not in [one["distribution"] for one in listed(environment)]
    if kind != "observer":
        assert "newcomer" not in [one["method"] for one in methods(environment)]


def listed(environment):
    return json.loads(environment.kdzoo("plugins", "--json"))


def methods(environment):
    return json.loads(environment.kdzoo("list", "--json"))["methods"]
