"""The look that all HTML pages share: one file each, without scripts, fonts or pictures of other places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import jinja2

from kdzoo.version import __version__


def render_page(
    package: str, template: str, functions: Mapping[str, Callable[..., Any]] | None = None, **values: Any
) -> str:
    """A page from a template that extends ``page.html.jinja``.

    Args:
        package: the package whose folder ``templates`` has the template.
        template: the file's name.
        functions: what templates may call, by name.
        values: the template's variables; ``title`` is needed.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("kdzoo.page")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(functions or {})
    now = datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
    return environment.get_template(template).render(version=__version__, now=now, **values)
