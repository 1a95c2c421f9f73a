"""What `kdzoo list` and `kdzoo plugins` cost where many plugins are installed; docs/benchmarks/startup.md.

    python benchmarks/startup.py [--repeats 9] [--write docs/benchmarks/startup.md]

Twenty plugins, six of them broken, each in its own way, are put on the path beside those of this environment. Seconds
of CPU, user and system, of the whole process, the interpreter's start included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = (("list",), ("plugins",), ("plugins", "--metadata"), ("--help",))

GOOD = """
from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge():
    return {{"{name}-logits": "{module}_logits:Logits", "{name}-maps": "{module}_maps:Maps"}}


@hookimpl
def kdzoo_registry():
    return {{
        "methods": {{
            "{name}-logits": {{
                "title": "Logits of {name}",
                "category": "response",
                "package": "{name}",
                "knowledge": {{"name": "{name}-logits"}},
            }}
        }}
    }}
"""

BROKEN = {
    "lost": "import nothing_of_this_name",
    "quitter": "import sys\nsys.exit(3)",
    "endless": "def again():\n    again()\n\nagain()",
    "stranger": "from kdzoo.api import hookimpl\n\n@hookimpl\ndef kdzoo_lessons():\n    return []",
    "curious": "from kdzoo.api import hookimpl\n\n@hookimpl\ndef kdzoo_knowledge(run):\n    return []",
    "thrower": "from kdzoo.api import hookimpl\n\n@hookimpl\ndef kdzoo_knowledge():\n    raise ValueError('no luck')",
}

CHILD = """
import sys

from kdzoo.cli.main import main

try:
    main()
except SystemExit as exit:
    assert not exit.code, exit.code
sys.exit(3 * ("torch" in sys.modules))
"""


def populate(folder: Path) -> None:
    """Twenty plugins as a path finds them: a module and the metadata of a distribution."""
    good = {f"kdzoo-good{number}": GOOD for number in range(20 - len(BROKEN))}
    for name, source in {**good, **{f"kdzoo-{key}": text for key, text in BROKEN.items()}}.items():
        module = name.replace("-", "_")
        text = source.format(name=name, module=module) if source is GOOD else source
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(f"[kdzoo]\n{module} = {module}\n", encoding="utf-8")


def environment(folder: Path) -> dict[str, str]:
    """With the plugins on the path; modules are compiled once and not in each process, as they are by default."""
    own = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PYTHONPATH": str(folder)}


def measure(command: tuple[str, ...], folder: Path) -> tuple[float, bool]:
    """Seconds of CPU of one call, and whether it imported torch."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = subprocess.run(
        [sys.executable, "-c", CHILD, *command],
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        check=False,
    ).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code not in (0, 3):
        sys.exit(f"kdzoo {' '.join(command)} ended with exit code {code}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, code == 3


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        populate(Path(name))
        for command in COMMANDS:
            measure(command, Path(name))  # the first one compiles
            several = [measure(command, Path(name)) for _ in range(given.repeats)]
            seconds = [one for one, _ in several]
            found["kdzoo " + " ".join(command)] = {
                "median": round(statistics.median(seconds), 2),
                "largest": round(max(seconds), 2),
                "imports torch": any(torch for _, torch in several),
            }
    print(json.dumps(found, indent=2))
    if given.write is not None:
        given.write.write_text(page(found, given.repeats), encoding="utf-8")


def page(found: dict[str, dict[str, object]], repeats: int) -> str:
    """The document."""
    rows = [
        f"| `{command}` | {one['median']} | {one['largest']} | {'yes' if one['imports torch'] else 'no'} |"
        for command, one in found.items()
    ]
    return "\n".join(
        [
            "# Cost of a listing\n",
            "Twenty plugins, six of them broken, in addition to this repository's. Seconds of CPU, user and system,",
            f"of the whole process, {repeats} calls each. Python {platform.python_version()}, "
            f"{os.cpu_count()} cores. Written by",
            f"`python benchmarks/startup.py --repeats {repeats} --write docs/benchmarks/startup.md`.\n",
            "| command | median | largest | imports torch |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
