"""A page for each method: the registry's entry, the types of its components, and its card, each written once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kdzoo.api import markdown_text
from kdzoo.registry.model import Method, Registry
from kdzoo.registry.published import Figure
from kdzoo.zoo import Zoo
from kdzoo.zoo.hyperparameters import describe, required


def page(name: str, method: Method, registry: Registry, zoo: Zoo, readme: str) -> str:
    """The page of a method as Markdown."""
    parts = [
        f"# {name}",
        f"**{method.title}.** {method.summary or ''}",
        _facts(method),
        f"```sh\nkdzoo distill --method {name} --teacher MODEL --student MODEL --data-dir DIR\n```",
        *_hyperparameters(method, zoo),
        *_published(registry.figures(method=name)),
    ]
    card = section(name, readme)
    if card:
        title, _, body = card.partition("\n")
        parts += [f"## Card: {title.removeprefix('## ')}", body.strip()]
    return "\n\n".join(part for part in parts if part) + "\n"


def section(name: str, readme: str) -> str | None:
    """The section of a package's README on the method; kin share one."""
    sections = re.split(r"^(?=## )", readme, flags=re.MULTILINE)[1:]
    headed = [one for one in sections if re.search(rf"(?<![\w-]){re.escape(name)}:", one.splitlines()[0])]
    return next(iter([*headed, *(one for one in sections if f"`{name}`" in one)]), None)


def _facts(method: Method) -> str:
    lines = [f"Family: {method.category}. Installed by `pip install {' '.join(method.packages)}`."]
    paper = method.paper
    if paper is not None:
        where = f", [arXiv {paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})" if paper.arxiv else ""
        title = f"*{markdown_text(paper.title)}*"
        lines.append(f"Paper: {markdown_text(paper.authors)}: {title}, {paper.venue} {paper.year}{where}.")
    return "\n".join(lines)


def _hyperparameters(method: Method, zoo: Zoo) -> Iterator[str]:
    rows = []
    for kind, component in method.components:
        found = zoo.find(kind, component.name).component
        for one in describe(found):
            value = component.settings.get(one.name, one.default)
            shown = "(required)" if one.name in required(found) - component.settings.keys() else str(value)
            accepts = one.range if one.type == "choice" else f"{one.type} {one.range}".strip()
            cells = [f"`{kind}.{one.name}`", accepts, f"`{shown}`", one.meaning.replace("``", "`")]
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if rows:
        yield "## Hyper-parameters"
        yield "| key | accepts | value of this method | meaning |\n|---|---|---|---|\n" + "\n".join(rows)


def _published(figures: Sequence[Figure]) -> Iterator[str]:
    """A paragraph for each source: its accuracies by pair."""
    tables: dict[tuple[str, int], list[Figure]] = {}
    for one in figures:
        tables.setdefault((one.suite, id(one.terms)), []).append(one)
    if tables:
        yield "## Published accuracies"
        yield "In percent; `kdzoo reproduce` runs one again."
    for (suite, _), rows in tables.items():
        pairs = ", ".join(f"{markdown_text(one.pair)} **{one.value:.2f}**" for one in rows)
        yield f"`{suite}`, {markdown_text(rows[0].terms.source)}; {rows[0].of}:\n{pairs}."
