"""A wandb run, online where that works, else offline.

All that calls wandb runs in the process of :mod:`kdzoo.observers.wandb_process`.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_log = logging.getLogger("kdzoo.observers.wandb")

DEFAULT_PROJECT = "kdzoo"

LOGIN_SECONDS = 5
"""How long the server may take to confirm the login, unless WANDB_HTTP_TIMEOUT says otherwise."""

INIT_SECONDS = 15.0
"""How long the server may then take to set up the run, unless WANDB_INIT_TIMEOUT says otherwise."""

FINISH_SECONDS = 60.0
"""How long the last uploads may take, unless WANDB_FINISH_TIMEOUT says otherwise."""

FLUSH_SECONDS = 0.5
"""Rows younger than this are lost when the process is killed; wandb's default is 15."""

_NO_NETWORK = ("offline", "dryrun", "disabled")  # values of WANDB_MODE

_LONGEST_TAG = 64  # wandb refuses longer ones
_LONGEST_NAME = 128

_refused: dict[str, str] = {}
"""Servers that did not confirm the login -> why; asked only once in a process."""


def open_run(
    folder: Path,
    *,
    name: str,
    job_type: str,
    group: str | None = None,
    tags: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    run_id: str | None = None,
) -> Any:
    """Begin a wandb run, offline when nobody is logged in, online otherwise.

    WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY and WANDB_BASE_URL are honoured. A server that does not answer, or
    that refuses the login, costs a few seconds and one warning of the logger ``kdzoo.observers.wandb``; the run
    is then an offline one. Where it lies is told at level INFO.

    Args:
        folder: where the run's files go, in ``wandb/``; WANDB_DIR comes first.
        name: shown by wandb.
        job_type: what the run is for.
        group: the runs that it is compared with.
        tags: what it can be found by.
        config: nested plain data.
        run_id: continues this run, if the server has it; default: a new one.

    Returns:
        The ``wandb.Run``; to be ended with :func:`close_run`.

    """
    import wandb

    known = wandb.setup(wandb.Settings(silent=True)).settings
    arguments: dict[str, Any] = {
        "project": known.project or DEFAULT_PROJECT,
        "dir": os.environ.get("WANDB_DIR") or str(folder.absolute()),
        # Always given: else WANDB_RUN_ID would make all the runs of a suite the same one.
        "id": run_id or _new_id(),
        "name": name[:_LONGEST_NAME],
        "group": group[:_LONGEST_NAME] if group else None,
        "job_type": job_type,
        "tags": [tag[:_LONGEST_TAG] for tag in tags if tag],
        "config": dict(config or {}),
        # An offline run remembers this too: uploaded later, it is appended to what the server has of it.
        "resume": "allow",
        # Neither returns nor ends a run that the program around us has open.
        "reinit": "create_new",
        "settings": _settings(known),
    }
    if known.mode in _NO_NETWORK:
        run = wandb.init(**arguments)
    elif not _logged_in(known):
        run = wandb.init(**arguments, mode="offline")
    else:
        try:
            run = wandb.init(**arguments)
        except (wandb.errors.Error, TimeoutError) as error:
            warn(f"{known.base_url} did not set up the run, so it is offline ({_one_line(error)})")
            # Under another id, for wandb still holds this one for the attempt that failed.
            run = wandb.init(**{**arguments, "id": _new_id()}, mode="offline")
    if not run.disabled:
        _log.info("wandb: %s", where_is(run))
    return run


def where_is(run: Any) -> str:
    """The run's address, or the command that uploads it; empty if there is none."""
    if run.disabled:
        return ""
    return f"offline; upload it by: wandb sync {_place(run)}" if run.offline else str(run.url)


def close_run(run: Any, exit_code: int) -> None:
    """End a run; what could not be uploaded in time stays on disk, and a warning says so."""
    place = _place(run)
    try:
        run.finish(exit_code=exit_code)
    except TimeoutError:
        warn(f"not everything was uploaded in time; upload the rest by: wandb sync --include-online {place}")


def warn(message: str) -> None:
    """Tell the user something about wandb, in one line."""
    _log.warning("wandb: %s", " ".join(message.split()))


def _settings(known: Any) -> Any:
    """Settings beyond the user's own: short waits, no output, and no upload of the user's code."""
    import wandb

    limits = {"init_timeout": INIT_SECONDS, "finish_timeout": FINISH_SECONDS}
    return wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        save_code=False,
        x_transaction_log_flush_interval=FLUSH_SECONDS,
        finish_timeout_raises=True,
        **{name: limit for name, limit in limits.items() if name not in known.model_fields_set},
    )


def _logged_in(known: Any) -> bool:
    """Whether a user is logged in and the server confirms it; warns if a login that was set up fails."""
    import wandb
    import wandb.apis.public  # reads the time limit of its own when it is imported: not the short one below

    reason = _refused.get(known.base_url)
    if reason is None:
        try:
            with _short_http_timeout():
                if wandb.login(prompt=False, verify=True):
                    return True
        except wandb.errors.Error as error:
            reason = _refused[known.base_url] = _one_line(error)
        else:
            if "mode" not in known.model_fields_set:
                return False
            reason = "nobody is logged in: see wandb login"
    warn(f"{known.base_url} cannot be used, so the run is offline ({reason})")
    return False


@contextmanager
def _short_http_timeout() -> Iterator[None]:
    """``wandb.login`` takes its time limit from the environment only."""
    if "WANDB_HTTP_TIMEOUT" in os.environ:
        yield
        return
    os.environ["WANDB_HTTP_TIMEOUT"] = str(LOGIN_SECONDS)
    try:
        yield
    finally:
        del os.environ["WANDB_HTTP_TIMEOUT"]


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


def _place(run: Any) -> Path:
    """The folder that ``wandb sync`` takes."""
    return Path(run.dir).parent


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
