"""Runs in a process of its own: ``owned.py MODE HOW FOLDER``; see ``test_owner.py`` and ``test_shared.py``.

``HOW`` is a comma-separated list of what the file system lacks: ``flock``, ``link``.
"""

import errno
import os
import sys
import time
from pathlib import Path

from kdzoo.owner import Owner


def lacking(names: list[str]) -> None:
    """Let these calls fail as on file systems that have none of them; Python asks such a hook before each."""
    events = {"flock": ("fcntl.flock", "fcntl.lockf"), "link": ("os.link",)}
    failing = {event for name in names for event in events[name]}

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event in failing:
            raise OSError(errno.EPERM if event == "os.link" else errno.ENOLCK, "not here")

    sys.addaudithook(refuse)


def hold(folder: Path) -> None:
    """Own the folder and say so, until killed."""
    with Owner(folder).held():
        print("mine", flush=True)
        time.sleep(600)


def count(folder: Path) -> None:
    """Add one to a number in a file, five times, in a way that loses some where two do so at once."""
    for _ in range(5):
        with Owner.of(folder / "number").awaited(lambda line: None):
            number = int((folder / "number").read_text())
            time.sleep(0.01)
            (folder / "number").write_text(str(number + 1))


if __name__ == "__main__":
    mode, how, place = sys.argv[1:]
    lacking([name for name in how.split(",") if name])
    os.environ.setdefault("KDZOO_STALE_SECONDS", "60")
    {"hold": hold, "count": count}[mode](Path(place))
