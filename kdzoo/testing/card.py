"""The documentation of a component: its docstring and its card."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlparse

from kdzoo.testing.subject import Subject


def readme_of(subject: Subject) -> str:
    """The description of the component's distribution, which is its README."""
    try:
        found = distribution(subject.found.plugin.distribution)
    except PackageNotFoundError:
        return ""
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        # The description of an editable install may be outdated.
        file = Path(unquote(urlparse(origin["url"]).path)) / "README.md"
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return (found.read_text("METADATA") or "").partition("\n\n")[2]


def card_of(subject: Subject) -> str:
    """The README's section on the method, else the first one that names the component, else an empty string."""
    names = [name for name in (subject.method, subject.found.name) if name]
    sections = re.split(r"^(?=## )", readme_of(subject), flags=re.MULTILINE)
    for name in names:
        for section in sections:
            if re.match(
                rf"## (?:.*\W)?{re.escape(name)}(?![\w-])", section.splitlines()[0] if section else ""
            ):
                return section
    return next((one for one in sections[1:] for name in names if f"`{name}`" in one), "")


def text_of(subject: Subject) -> str:
    """Docstring and card together."""
    return f"{subject.found.component.__doc__ or ''}\n{card_of(subject)}"
