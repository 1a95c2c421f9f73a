"""Where kdzoo keeps what it can make again: decoded data sets, trained teachers and their answers."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from kdzoo.errors import KdzooError

CACHE = "KDZOO_CACHE"
"""Environment variable that moves the cache."""


def cache_folder() -> Path:
    """The cache's folder: ``$KDZOO_CACHE``, else (unset or empty) the user's cache directory. It may be missing.

    Raises:
        KdzooError: the variable names something else than a folder, or the home of a user who is unknown.
    """
    chosen = os.environ.get(CACHE)
    if not chosen:
        return user_cache_path("kdzoo")
    try:
        place = Path(chosen).expanduser().absolute()
    except RuntimeError:
        raise KdzooError(f"{CACHE} {chosen}: no such user has a home folder") from None
    if os.path.exists(place) and not os.path.isdir(place):  # these two never raise
        raise KdzooError(f"{CACHE} {chosen} is not a folder")
    return place
