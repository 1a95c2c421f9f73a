"""Distillation between different modalities of the same scene."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Losses on features and logits across modalities."""
    return {
        "transfer": "kdzoo_cross_modal.transfer:Transfer",
        "cmkd": "kdzoo_cross_modal.cmkd:CMKD",
    }


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """A teacher that reads one modality and a student that reads another."""
    return {
        "cross-modal": "kdzoo_cross_modal.scheme:CrossModal",
    }
