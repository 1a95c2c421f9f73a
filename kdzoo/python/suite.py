"""``kdzoo bench`` as a function."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kdzoo.errors import KdzooError
from kdzoo.python.load import LoadedSuite

_REFUSED = 2
"""The exit code of bad input."""


def bench(
    suite: str | Path,
    *,
    output: str | Path | None = None,
    workers: int | None = None,
    seeds: Iterable[int] | None = None,
    methods: Iterable[str] | None = None,
    pairs: Iterable[str] | None = None,
    registry: Iterable[str] = (),
    settings: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    data_dir: str | Path | None = None,
    quiet: bool = False,
) -> LoadedSuite:
    """Compare methods, and return the suite; call it again to go on after an interruption.

    It is ``kdzoo bench`` in a process of its own, since its workers would import your script again. Failed runs do
    not raise: see ``failures`` of the suite.

    Args:
        suite: a suite of the registry, or a YAML file with one.
        output: its folder; default: ``runs/bench/SUITE``.
        workers: runs at a time; default: one for each GPU, else for each core.
        seeds: default: the suite's.
        methods: default: the suite's; the baseline is always added.
        pairs: such as ``"r32x4>r8x4"``; default: the suite's.
        registry: further registry files or URLs.
        settings: any keys of every recipe, dotted: ``{"optim.lr": 0.01}``.
        epochs: default: the suite's.
        data_dir: a folder of images.
        quiet: show failures alone.

    Raises:
        KdzooError: bad input.
        KeyboardInterrupt: it was interrupted; finished runs are kept.
    """
    folder = Path(output) if output is not None else Path("runs") / "bench" / Path(suite).stem
    given = {
        "--workers": workers,
        "--seeds": _joined(seeds),
        "--methods": _joined(methods),
        "--pairs": _joined(pairs),
        "--epochs": epochs,
        "--data-dir": data_dir,
    }
    command = [sys.executable, "-m", "kdzoo", "bench", str(suite), "--output", str(folder)]
    command += [word for name, value in given.items() if value is not None for word in (name, str(value))]
    command += [word for one in registry for word in ("--registry", one)]
    command += [
        word for key, value in (settings or {}).items() for word in ("--set", f"{key}={_written(value)}")
    ]
    code, last = _run([*command, *(["--quiet"] if quiet else [])])
    if code == _REFUSED:
        raise KdzooError(last.removeprefix("kdzoo: "))
    if code not in (0, 1):
        raise KeyboardInterrupt(last)
    return LoadedSuite(folder)


def _run(command: list[str]) -> tuple[int, str]:
    """Show what the command says, where a notebook sees it too; its exit code and its last line."""
    last = ""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                last = line.strip() or last
                if not last.startswith("kdzoo: "):  # a refusal is raised
                    print(line, end="", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            process.terminate()
            raise
    return process.returncode, last


def _joined(values: Iterable[Any] | None) -> str | None:
    return None if values is None else ",".join(map(str, values))


def _written(value: Any) -> str:
    """A value as ``--set`` reads it."""
    return value if isinstance(value, str) else json.dumps(value)
