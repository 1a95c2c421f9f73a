"""Foundation models as teachers: their features, one or several of them, without labels."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Pooled vectors and maps behind projectors, compared as they are or by their similarities."""
    return {
        "features": "kdzoo_foundation.features:Features",
        "queue": "kdzoo_foundation.queue:Queue",
        "srd": "kdzoo_foundation.srd:SRD",
        "vkd": "kdzoo_foundation.vkd:VkD",
    }


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """Several teachers of any kind."""
    return {"agglomerate": "kdzoo_foundation.teachers:Agglomeration"}


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Several teachers with a head each, also by way of a proxy; one teacher and hidden patches."""
    return {
        "agglomerate": "kdzoo_foundation.agglomerate:Agglomerate",
        "proteus": "kdzoo_foundation.proteus:Proteus",
        "proxy": "kdzoo_foundation.proxy:Proxy",
    }
