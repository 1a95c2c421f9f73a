"""Quantized students: low-bit weights and activations, distilled from a full-precision teacher."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Algorithms that train or calibrate a quantized student."""
    return {
        "qat": "kdzoo_quantized.qat:QuantizationAware",
        "qkd": "kdzoo_quantized.qkd:QuantizationAwareDistillation",
        "ptq-distill": "kdzoo_quantized.ptq:PostTraining",
        "int8": "kdzoo_quantized.int8:Int8",
    }


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """A teacher that is trained together with the student."""
    return {
        "joint": "kdzoo_quantized.joint:Joint",
    }
