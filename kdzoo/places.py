"""Where kdzoo keeps what it can make again: decoded data sets, trained teachers and their answers."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from kdzoo.errors import KdzooError

CACHE = "KDZOO_CACHE"
"""Environment variable that moves the cache."""

LOCAL = "KDZOO_LOCAL_CACHE"
"""Environment variable: a folder of this machine alone, for copies of decoded sets."""


def cache_folder() -> Path:
    """The cache's folder: ``$KDZOO_CACHE``, else (unset or empty) the user's cache directory. It may be missing.

    Raises:
        KdzooError: the variable names something else than a folder, or the home of a user who is unknown.
    """
    chosen = os.environ.get(CACHE)
    return _folder(CACHE, chosen) if chosen else user_cache_path("kdzoo")


def node_folder() -> Path | None:
    """A folder of this machine alone: ``$KDZOO_LOCAL_CACHE``, else ``kdzoo`` in Slurm's ``$SLURM_TMPDIR``.

    None without either, or where the first is empty. It may be missing.

    Raises:
        KdzooError: as for :func:`cache_folder`.
    """
    chosen = os.environ.get(LOCAL)
    if chosen is None and (of_job := os.environ.get("SLURM_TMPDIR")):
        return Path(of_job) / "kdzoo"
    return _folder(LOCAL, chosen) if chosen else None


def _folder(variable: str, chosen: str) -> Path:
    try:
        place = Path(chosen).expanduser().absolute()
    except RuntimeError:
        raise KdzooError(f"{variable} {chosen}: no such user has a home folder") from None
    if os.path.exists(place) and not os.path.isdir(place):  # these two never raise
        raise KdzooError(f"{variable} {chosen} is not a folder")
    return place
