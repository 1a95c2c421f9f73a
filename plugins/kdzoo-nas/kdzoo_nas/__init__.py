"""Architecture search guided by a teacher: block by block, without training, or in a network that shares weights."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Three ways to find a student; each then trains what it found."""
    return {
        "diswot": "kdzoo_nas.diswot:DisWot",
        "dna": "kdzoo_nas.dna:Dna",
        "sandwich": "kdzoo_nas.sandwich:Sandwich",
    }
