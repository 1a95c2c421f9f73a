"""Architecture search guided by a teacher: block by block, without training, or with shared weights."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Three search algorithms; each then trains the found student."""
    return {
        "diswot": "kdzoo_nas.diswot:DisWot",
        "dna": "kdzoo_nas.dna:Dna",
        "sandwich": "kdzoo_nas.sandwich:Sandwich",
    }
