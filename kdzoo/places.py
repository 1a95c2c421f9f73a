"""Where kdzoo keeps what it can make again: decoded data sets and trained teachers."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

CACHE = "KDZOO_CACHE"
"""Environment variable that moves the cache."""


def cache_folder() -> Path:
    """The cache's folder: ``$KDZOO_CACHE``, else the user's cache directory."""
    chosen = os.environ.get(CACHE)
    return Path(chosen).expanduser() if chosen else user_cache_path("kdzoo")
