"""What looks wrong about a data set before anything is decoded."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from kdzoo.data.duplicates import MOST, duplicates
from kdzoo.data.file_listing import FolderListing
from kdzoo.data.imbalance import imbalance
from kdzoo.data.listing import Source, digest
from kdzoo.files import write_json
from kdzoo.recipe.model import DataConfig

_MANY = 5000
"""Files from which it takes long enough to be remembered which are there twice."""


def doubts(source: Source, config: DataConfig, cache: Path) -> list[str]:
    """Warnings: files that are there twice, classes of very different size.

    Args:
        source: the data set.
        config: of the data.
        cache: the folder of decoded sets, which remembers the answer for the same files.

    """
    found = _duplicates(source, cache if config.cache_gb else None)
    if config.class_weights is None and config.sampling is None and not config.withhold_train:
        found += imbalance(source.train.targets, source.classes)
    return found


def _duplicates(source: Source, cache: Path | None) -> list[str]:
    listings = [one for one in (source.train, source.val, source.test) if isinstance(one, FolderListing)]
    if cache is None or sum(len(one.names) for one in listings) < _MANY:
        return duplicates(source)
    about = ((one.stamp, sha256(one.targets.tobytes()).hexdigest()) for one in listings)
    path = cache / f"duplicates-{digest((MOST, *source.classes, *about))[:32]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        known: Any = json.loads(path.read_text(encoding="utf-8"))["messages"]
        if isinstance(known, list) and all(isinstance(one, str) for one in known):
            return list(known)
    found = duplicates(source)
    with suppress(OSError):  # a cache that is read-only or full
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"messages": found})
    return found
