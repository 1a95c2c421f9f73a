"""The documentation as a site: its links, formulas and method pages, and the whole of it."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "site"


@pytest.fixture(scope="module", autouse=True)
def importable():
    sys.path.insert(0, str(SITE))
    yield
    sys.path.remove(str(SITE))


def test_links_lead_to_pages_and_others_become_text(tmp_path):
    from links import rewritten

    pages = {(tmp_path / "docs/data.md").resolve(): "data.md"}
    code = "```\n[x](../docs/data.md)\n```"
    text = f"[data](../docs/data.md#folders), [web](https://arxiv.org), [code](code.py)\n{code}"
    found = rewritten(text, tmp_path / "a" / "README.md", "families/a.md", pages)
    assert found == f"[data](../data.md#folders), [web](https://arxiv.org), code\n{code}"


def test_formulas_are_mathml_and_code_is_not():
    from formulas import drawn

    found = drawn("a $T^2$ b `$x$` c\n\n$$\\frac{1}{2}$$\n\n```\n$y$\n```")
    assert found.count("<math") == 2
    assert "<msup>" in found
    assert 'display="block"' in found
    assert "`$x$`" in found
    assert "$y$" in found
    assert "costs $5" in drawn("it costs $5 and $6")


class Links(HTMLParser):
    """Where a page leads, and what it loads."""

    def __init__(self):
        super().__init__()
        self.found, self.loaded, self.names = [], [], set()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.names |= {values.get("id"), values.get("name")}
        if tag == "a" and values.get("href"):
            self.found.append(values["href"])
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.loaded.append(values["src"])
        if tag == "link" and "stylesheet" in values.get("rel", ""):
            self.loaded.append(values["href"])


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_every_link_leads_somewhere(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, str(SITE / "build.py"), "--output", str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    pages = {}
    for file in (tmp_path / "site").rglob("*.html"):
        pages[file] = Links()
        pages[file].feed(file.read_text())
    assert {"index.html", "practitioners.html", "methods/crd.html", "families/response.html"} <= {
        str(one.relative_to(tmp_path / "site")) for one in pages
    }
    broken = []
    for file, page in pages.items():
        assert not [one for one in page.loaded if one.startswith(("http", "//"))], (
            "nothing is loaded from elsewhere"
        )
        for link in page.found:
            to, _, fragment = link.partition("#")
            if re.match(r"\w+:", to) or file.name == "404.html":
                continue
            there = (file.parent / to).resolve() if to else file
            is_named = not fragment or there not in pages or fragment in pages[there].names
            if not (there.exists() and is_named):
                broken.append(f"{file.name}: {link}")
    assert broken == []
