"""Teacher and student that read different modalities of the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Knowledge, Scheme


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Features and logits across modalities."""
    from kdzoo_cross_modal.cmkd import CMKD
    from kdzoo_cross_modal.transfer import Transfer

    return [Transfer, CMKD]


@hookimpl
def kdzoo_schemes() -> list[type[Scheme]]:
    """A teacher that reads one modality and a student that reads another."""
    from kdzoo_cross_modal.scheme import CrossModal

    return [CrossModal]
