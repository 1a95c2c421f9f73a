"""Quantized students: few bits for weights and activations, learned with a full-precision teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Algorithm, Scheme


@hookimpl
def kdzoo_algorithms() -> list[type[Algorithm]]:
    """The ways in which a student of few bits is taught."""
    from kdzoo_quantized.int8 import Int8
    from kdzoo_quantized.ptq import PostTraining
    from kdzoo_quantized.qat import QuantizationAware
    from kdzoo_quantized.qkd import QuantizationAwareDistillation

    return [QuantizationAware, QuantizationAwareDistillation, PostTraining, Int8]


@hookimpl
def kdzoo_schemes() -> list[type[Scheme]]:
    """A teacher that is trained beside the student."""
    from kdzoo_quantized.joint import Joint

    return [Joint]
