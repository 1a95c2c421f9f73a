"""How long the README's five commands take, from nothing to a row in the leaderboard; docs/benchmarks/newcomer.md.

    python benchmarks/newcomer.py [--write docs/benchmarks/newcomer.md]

The commands are read from the README and run as they stand there, nothing shortened, in a new folder. What is
installed into this environment is uninstalled again.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commands() -> list[str]:
    """The five, without their comments."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```bash\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    return [line.partition("#")[0].strip() for line in block.splitlines()]


def run(command: str, folder: Path) -> tuple[float, str]:
    """Seconds, and what it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    quiet = {"WANDB_MODE": "offline", "COLUMNS": "200", "KDZOO_CACHE": str(folder / "cache")}
    started = time.perf_counter()
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": path, **quiet},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{command} ended with exit code {done.returncode}:\n{done.stdout}")
    return time.perf_counter() - started, done.stdout


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    taken: list[tuple[str, float]] = []
    said = ""
    with tempfile.TemporaryDirectory() as name:
        try:
            for command in commands():
                seconds, said = run(command, Path(name))
                taken.append((command, seconds))
                print(f"{seconds:6.0f} s  {command}", flush=True)
        finally:
            run("python -m pip uninstall --quiet --yes kdzoo-cosine", Path(name))
    print(said)
    if given.write is not None:
        given.write.write_text(page(taken, said), encoding="utf-8")


def page(taken: list[tuple[str, float]], said: str) -> str:
    """The document."""
    total = sum(seconds for _, seconds in taken)
    board = "\n".join(line.rstrip() for line in said.splitlines() if line.strip())
    return "\n".join(
        [
            "# From nothing to a row in the leaderboard\n",
            f"The README's five commands as they stand there: {total / 60:.1f} minutes in all, with the training of",
            f"the teacher and of every other row. Python {platform.python_version()}, {os.cpu_count()} cores, "
            "no GPU. Written by",
            "`python benchmarks/newcomer.py --write docs/benchmarks/newcomer.md`.\n",
            "| command | seconds |",
            "|---|---|",
            *(f"| `{command}` | {seconds:.0f} |" for command, seconds in taken),
            "\nWhat the last one printed:\n",
            "```text",
            board,
            "```",
            "",
        ]
    )


if __name__ == "__main__":
    main()
