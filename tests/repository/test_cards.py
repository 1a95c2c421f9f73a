"""Every method of the registry has a card in its package's README that says what a reader must know."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
METHODS = {
    name: entry
    for name, entry in yaml.safe_load((ROOT / "registry.yaml").read_text())["methods"].items()
    if entry["category"] != "baseline"
}


def readme(entry):
    return (ROOT / "plugins" / entry["package"] / "README.md").read_text()


def card(name, entry):
    """The README's section on the method; kin share one."""
    sections = re.split(r"^(?=## )", readme(entry), flags=re.MULTILINE)
    headed = [one for one in sections if re.search(rf"(?<![\w-]){re.escape(name)}:", one.splitlines()[0])]
    found = headed or [one for one in sections[1:] if f"`{name}`" in one][:1]
    assert len(found) == 1, f"{name}: {len(found)} sections"
    return found[0]


@pytest.mark.parametrize("name", METHODS)
def test_a_card_says_how_it_is_used_what_it_costs_and_where_it_deviates(name):
    text, whole = card(name, METHODS[name]), readme(METHODS[name])
    assert re.search(rf"--method {re.escape(name)}(?![\w-])", whole), "no command"
    assert "**Cost.**" in text or "**Cost.**" in whole.split("\n## ")[0], "no cost"
    assert re.search(r"\*\*Deviations\.?\*\*[^#]*?\b1\. ", text), "no numbered deviations"
    parameters = re.search(r"^\| name[^|]*\| type \|", text, re.MULTILINE)
    assert parameters or re.search(r"no\s+hyper-parameters|hyper-parameters\s+are", text, re.IGNORECASE), (
        "no hyper-parameters"
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_method_can_be_cited(name):
    paper = METHODS[name]["paper"]
    assert {"title", "authors", "venue", "year"} <= paper.keys()
    text = readme(METHODS[name])
    first = paper["authors"].split(",")[0].split()[-1].lower()
    entries = re.findall(r"@\w+\{(.*?)\n\}", text, re.DOTALL)
    assert any(first in one.lower() and str(paper["year"]) in one for one in entries), (
        "no bibtex entry of the paper"
    )
