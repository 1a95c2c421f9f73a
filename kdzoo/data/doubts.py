"""What looks wrong about a data set before anything is decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from kdzoo.data import cache
from kdzoo.data.duplicates import MOST, duplicates
from kdzoo.data.file_listing import FolderListing
from kdzoo.data.imbalance import imbalance
from kdzoo.data.listing import Source, digest
from kdzoo.files import write_json
from kdzoo.recipe.data import DataConfig

_MANY = 5000
"""Files from which it takes long enough to be remembered which are there twice."""


def tell_doubts(
    source: Source, config: DataConfig, cache_dir: Path | None, warn: Callable[[str], None]
) -> list[str]:
    """Warn of files that are there twice and of classes of very different size; the warnings.

    Args:
        source: the data set.
        config: of the data.
        cache_dir: where decoded sets are kept, and what is known about many files; None is the user's cache.
        warn: called with each warning.

    """
    found = _duplicates(source, config, cache_dir)
    if config.class_weights is None and config.sampling is None and not config.withhold_train:
        found += imbalance(source.train.targets, source.classes)
    for message in found:
        warn(message)
    return found


def _duplicates(source: Source, config: DataConfig, cache_dir: Path | None) -> list[str]:
    listings = [one for one in (source.train, source.val, source.test) if isinstance(one, FolderListing)]
    if not config.cache_gb or sum(len(one.names) for one in listings) < _MANY:
        return duplicates(source)
    about = ((one.stamp, sha256(one.targets.tobytes()).hexdigest()) for one in listings)
    path = cache.folder(cache_dir) / f"duplicates-{digest((MOST, *source.classes, *about))[:32]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        known: Any = json.loads(path.read_text(encoding="utf-8"))["messages"]
        if isinstance(known, list) and all(isinstance(one, str) for one in known):
            return list(known)
    found = duplicates(source)
    with suppress(OSError):  # a cache that is read-only or full
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"messages": found})
    return found
