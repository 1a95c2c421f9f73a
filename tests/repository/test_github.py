"""What GitHub reads: the workflow runs what `.ci/run` runs, and the forms are forms."""

import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
FORMS = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]


def test_the_workflow_runs_the_same_script_on_each_python_that_is_promised():
    flow = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())
    assert {"push", "pull_request"} <= set(flow[True])  # YAML reads the key `on` as true
    assert flow["permissions"] == {"contents": "read"}
    job = flow["jobs"]["check"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert (ROOT / ".ci" / "run").is_file()
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert lowest == f">={job['strategy']['matrix']['python'][0]}"


def test_the_workflow_needs_no_secret():
    assert "secrets" not in (GITHUB / "workflows" / "ci.yml").read_text()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_an_issue_form_is_one_that_github_shows(form):
    content = yaml.safe_load(form.read_text())
    assert content["name"]
    assert content["description"]
    fields = [part for part in content["body"] if part["type"] != "markdown"]
    assert all(part["attributes"]["label"] for part in fields)
    ids = [part["id"] for part in fields]
    assert len(ids) == len(set(ids))


def test_there_are_two_forms_and_an_outline_of_a_pull_request():
    assert [form.stem for form in FORMS] == ["bug", "method"]
    assert "- [ ]" in (GITHUB / "pull_request_template.md").read_text()
