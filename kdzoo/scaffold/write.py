"""Filling in the templates: all files are made in memory first, so that nothing is half written."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from kdzoo.errors import KdzooError
from kdzoo.scaffold.names import Names, core_range

_NEEDS_ANOTHER_S_KNOWLEDGE = ("scheme", "algorithm")
"""Kinds whose example has to teach something, and the core has no knowledge."""


def package_files(names: Names, kind: str) -> dict[str, str]:
    """Path below the new folder -> content."""
    environment = Environment(
        loader=PackageLoader("kdzoo.scaffold"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Python and Markdown, no HTML; every value is checked by names_of
    )
    templates = {
        "pyproject.toml": "pyproject.toml.j2",
        "README.md": "README.md.j2",
        "LICENSE": "LICENSE.j2",
        ".gitignore": "gitignore.j2",
        ".github/workflows/test.yml": "ci.yml.j2",
        f"{names.package}/__init__.py": "init.py.j2",
        f"{names.package}/{names.module}.py": f"component/{kind}.py.j2",
        f"{names.package}/py.typed": "py.typed.j2",
        f"tests/test_{names.module}.py": f"test/{kind}.py.j2",
    }
    if kind != "observer":  # a method is made of the other three
        templates[f"{names.package}/registry.yaml"] = f"registry/{kind}.yaml.j2"
    values = {
        "n": names,
        "kind": kind,
        "core": core_range(),
        "year": date.today().year,
        "borrows": kind in _NEEDS_ANOTHER_S_KNOWLEDGE,
    }
    return {path: environment.get_template(name).render(values) for path, name in templates.items()}


def write_package(names: Names, kind: str, parent: Path) -> list[Path]:
    """Write the package into a new folder of ``parent``, which is made if there is none.

    Returns:
        The files, in the order of their names.

    Raises:
        KdzooError: the folder is there already, or cannot be written.
    """
    folder = parent / names.distribution
    content = package_files(names, kind)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise KdzooError(f"{folder} is there already; remove it or name another --output") from None
    except OSError as error:
        raise KdzooError(f"{folder}: {error.strerror or error}") from None
    try:
        for path, text in content.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise KdzooError(f"{folder}: {error.strerror or error}") from None
    return sorted(folder / path for path in content)
