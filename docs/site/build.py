"""Build the documentation as a site: ``make docs``.

    python docs/site/build.py --output build/site

Its pages are the documents of this repository, each where it is written (docs/, the packages' READMEs, the
changelog), and one page for each method, made of the registry, the components' types and the method's card. Nothing
is loaded from elsewhere: formulas are MathML, fonts the reader's own. A link that leads nowhere fails the build.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from formulas import drawn
from links import rewritten
from methods import page as method_page

from kdzoo.registry.load import load_registry
from kdzoo.zoo import Zoo

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
STYLE = Path(__file__).with_name("site.css")

SECTIONS: Mapping[str, Sequence[str]] = {
    "Start here": ("practitioners", "researchers", "authors"),
    "How to": (
        "compress", "data", "training", "teachers", "which-method", "use", "loops", "python", "store", "figures",
        "benchmark", "cluster", "modalities", "wandb",
    ),
    "Your own algorithm": ("tutorial", "hooks", "checks", "reference"),
    "How it is made": ("design", "conformance", "crossings"),
}  # fmt: skip
"""Chapter -> its documents in docs/, in order."""


def documents() -> dict[Path, str]:
    """Every document -> its page."""
    found = {ROOT / "README.md": "index.md", ROOT / "CHANGELOG.md": "changelog.md"}
    found[ROOT / "CONTRIBUTING.md"] = "contributing.md"
    for file in sorted(DOCS.rglob("*.md")):
        place = file.relative_to(DOCS)
        found[file] = str(place.with_name("index.md") if place.name == "README.md" else place)
    for file in sorted((ROOT / "plugins").glob("*/README.md")):
        found[file] = f"families/{file.parent.name.removeprefix('kdzoo-')}.md"
    return found


def folders(pages: Mapping[Path, str]) -> dict[Path, str]:
    """Documents and folders -> their pages; a folder's page is that of its README."""
    found = dict(pages)
    for file, page in pages.items():
        if file.name == "README.md":
            found[file.parent] = page
    for name in ("benchmarks", "results"):
        found[DOCS / name] = f"{name}/index.md"
    return found


def write_pages(place: Path) -> dict[str, list[str]]:
    """Write every page; family -> its methods' pages."""
    pages = documents()
    known = folders(pages)
    texts = {page: rewritten(file.read_text(), file, page, known) for file, page in pages.items()}
    for name in ("benchmarks", "results"):
        texts[f"{name}/index.md"] = _index(name, [one for one in texts if one.startswith(f"{name}/")], texts)
    families: dict[str, list[str]] = {}
    zoo = Zoo()
    registry = load_registry(zoo)
    for name, method in registry.methods.items():
        file = ROOT / "plugins" / method.package / "README.md"
        readme = file.read_text() if file.is_file() else ""
        page = f"methods/{name}.md"
        texts[page] = rewritten(method_page(name, method, registry, zoo, readme), file, page, known)
        families.setdefault(method.category, []).append(page)
    texts["methods/index.md"] = _methods(registry.methods, families)
    for page, text in texts.items():
        target = place / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(drawn(text))
    shutil.copyfile(STYLE, place / STYLE.name)
    for picture in [*DOCS.rglob("*.png"), *DOCS.rglob("*.svg")]:
        target = place / picture.relative_to(DOCS)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, target)
    return families


def _index(name: str, pages: Sequence[str], texts: Mapping[str, str]) -> str:
    lines = [f"- [{_title(texts[one])}]({Path(one).name})" for one in sorted(pages)]
    return f"# {name.capitalize()}\n\n" + "\n".join(lines) + "\n"


def _title(text: str) -> str:
    return next(line[2:] for line in text.splitlines() if line.startswith("# "))


def _methods(methods: Mapping[str, Any], families: Mapping[str, Sequence[str]]) -> str:
    parts = ["# Methods\n\nEach has a page: its hyper-parameters, published accuracies, and card."]
    for family, pages in families.items():
        rows = []
        for page in pages:
            name = Path(page).stem
            year = methods[name].paper.year if methods[name].paper else ""
            rows.append(f"| [{name}]({name}.md) | {methods[name].title} | {year} |")
        parts.append(f"## {family}\n\n| method | title | year |\n|---|---|---:|\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def config(pages: Path, output: Path, families: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Mkdocs' configuration."""
    listed = {one for chapter in SECTIONS.values() for one in chapter}
    chapters: list[Any] = [{"kdzoo": "index.md"}]
    for chapter, names in SECTIONS.items():
        chapters.append({chapter: [f"{one}.md" for one in names if (pages / f"{one}.md").is_file()]})
    rest = sorted(one.name for one in pages.glob("*.md"))
    rest = [one for one in rest if Path(one).stem not in listed and one not in ("index.md", "changelog.md")]
    chapters[-1]["How it is made"] += [*rest, {"Decisions": _below(pages, "decisions")}]
    chapters += [
        {"Methods": ["methods/index.md", *({family: list(one)} for family, one in families.items())]},
        {"Packages": _below(pages, "families")},
        {"Measured": [{"Benchmarks": _below(pages, "benchmarks")}, {"Results": _below(pages, "results")}]},
        {"Changelog": "changelog.md"},
    ]
    return {
        "site_name": "kdzoo",
        "site_description": "Knowledge distillation between any two timm networks",
        "docs_dir": str(pages),
        "site_dir": str(output),
        "use_directory_urls": False,
        "nav": chapters,
        "theme": {
            "name": "material",
            "font": False,
            "palette": [
                {"media": "(prefers-color-scheme: light)", "scheme": "default", "primary": "teal"},
                {"media": "(prefers-color-scheme: dark)", "scheme": "slate", "primary": "teal"},
            ],
            "features": ["navigation.tabs", "navigation.indexes", "navigation.top", "content.code.copy"],
        },
        "markdown_extensions": ["admonition", "tables", "attr_list", "md_in_html", "pymdownx.superfences"],
        "validation": {"omitted_files": "warn", "links": {"not_found": "warn", "anchors": "warn"}},
        "plugins": ["search"],
        "extra_css": [STYLE.name],
    }


def _below(pages: Path, folder: str) -> list[str]:
    found = sorted(str(one.relative_to(pages)) for one in (pages / folder).rglob("*.md"))
    return sorted(found, key=lambda one: (Path(one).name != "index.md", one))


def build(output: Path) -> None:
    """Write the site to ``output``.

    Raises:
        SystemExit: a link leads nowhere, or mkdocs found another fault.
    """
    with tempfile.TemporaryDirectory(prefix="kdzoo-docs-") as temporary:
        place = Path(temporary)
        families = write_pages(place / "pages")
        settings = config(place / "pages", output.absolute(), families)
        (place / "mkdocs.yml").write_text(yaml.safe_dump(settings, sort_keys=False))
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file"]
        quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
        done = subprocess.run([*command, str(place / "mkdocs.yml")], check=False, env=quiet)
    if done.returncode:
        raise SystemExit(done.returncode)
    print(output / "index.html")


def main() -> None:
    """Read the flags and build."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site")
    build(parser.parse_args().output)


if __name__ == "__main__":
    main()
