"""Data-free distillation: the student learns from images synthesised with only the teacher."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Training on generated or optimised images."""
    return {
        "generative": "kdzoo_data_free.dfq:GeneratorDistillation",
        "dafl": "kdzoo_data_free.dafl:ExcitingImages",
        "zskt": "kdzoo_data_free.zskt:ZeroShot",
        "fast": "kdzoo_data_free.fast:MetaGenerator",
        "deepinversion": "kdzoo_data_free.deepinversion:DeepInversion",
    }
