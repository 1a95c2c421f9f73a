"""Online schemes: networks that learn together, without a teacher that was trained before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Scheme


@hookimpl
def kdzoo_schemes() -> list[type[Scheme]]:
    """Peers that teach each other."""
    from kdzoo_online.mutual import Mutual

    return [Mutual]
