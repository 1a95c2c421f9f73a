"""Each decision has one line in the design, one in the index, and a page with context, decision, consequences."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "decisions").glob("[0-9]*.md"))
LINK = re.compile(r"\]\((?:decisions/)?(\d{4}-[\w-]+\.md)\)")


def listed(text):
    """The page that each line of a list links to, in order."""
    linked = [LINK.findall(line) for line in text.splitlines() if line.startswith("- ")]
    assert linked
    assert all(len(pages) == 1 for pages in linked), "a line without a page, or with two"
    return [pages[0] for pages in linked]


def test_the_design_has_one_line_for_each_page():
    text = (DOCS / "design.md").read_text()
    section = text.split("## Decisions that are not obvious\n")[1].split("\n## ")[0]
    assert listed(section) == [page.name for page in PAGES]


def test_the_index_has_the_title_of_each_page():
    index = (DOCS / "decisions" / "README.md").read_text()
    assert listed(index) == [page.name for page in PAGES]
    for page in PAGES:
        title = page.read_text().splitlines()[0].removeprefix("# ")
        assert f"- [{title}]({page.name})" in index


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_why_what_and_what_follows(page):
    text = page.read_text()
    number = int(page.name[:4])
    assert number == PAGES.index(page) + 1, "numbers have no gap"
    assert text.startswith(f"# {number}. ")
    assert re.findall("^## (.*)", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
