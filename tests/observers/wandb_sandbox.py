"""A place to run wandb in: its own home, no login but the one that a test gives it, no network but loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

KEY = "k" * 40
HANGS = 90  # seconds; by default wandb waits longer than that for a server that does not answer


class Sandbox:
    def __init__(self, root: Path) -> None:
        self.home, self.folder = root / "home", root / "run"
        self.home.mkdir()
        self.folder.mkdir()
        foreign = ("WANDB", "XDG_", "NETRC", "HTTP", "http")
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(foreign)},
            "HOME": str(self.home),
            "WANDB_ERROR_REPORTING": "false",
        }

    def start(
        self,
        *,
        epochs: list[int],
        end: str = "ended",
        resumed: bool = False,
        teacher: Path | None = None,
        leaderboard: bool = False,
        **env: str,
    ) -> subprocess.Popen[str]:
        """Begin a process that plays a run: see ``wandb_child.py``."""
        run = {
            "folder": str(self.folder),
            "epochs": epochs,
            "end": end,
            "resumed": resumed,
            "teacher": teacher and str(teacher),
            "leaderboard": leaderboard,
        }
        return self.python(str(Path(__file__).with_name("wandb_child.py")), json.dumps(run), **env)

    def finish(self, process: subprocess.Popen[str], *, code: int = 0, say: str | None = None) -> str:
        """Wait until the process ends with ``code``, and return what it printed on stderr."""
        try:
            out, err = process.communicate(say, timeout=HANGS)
        finally:
            process.kill()
        assert process.returncode == code, out + err
        return err

    def play(self, *, code: int = 0, **how: Any) -> str:
        """Both of the above."""
        return self.finish(self.start(**how), code=code)

    def end_of(self, pids: str) -> None:
        """Wait until these processes have ended."""
        deadline = time.monotonic() + HANGS
        while any(runs(int(pid)) for pid in pids.split()):
            assert time.monotonic() < deadline, pids
            time.sleep(0.1)

    def wandb(self, *arguments: str, **env: str) -> str:
        """Run wandb's command line and return its output."""
        process = self.python("-m", "wandb", *arguments, **env)
        out, err = process.communicate(timeout=HANGS)
        assert process.returncode == 0, out + err
        return out

    def logs(self) -> list[Path]:
        """The folders of the wandb runs, oldest first."""
        return sorted(self.folder.glob("wandb/*run-*"), key=lambda log: log.name.split("run-", 1)[1])

    def records(self, log: Path) -> list[dict[str, Any]]:
        """What ``wandb leet inspect`` reads in the log of a run."""
        return [json.loads(line) for line in self.wandb("leet", "inspect", "--json", str(log)).splitlines()]

    def python(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env={**self.env, **env},
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def runs(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def of_type(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in records if record["type"] == kind]


def rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was logged, without wandb's own columns."""
    items = [record["item"] for record in of_type(records, "history")]
    return [{key: value for key, value in item.items() if not key.startswith("_")} for item in items]
