"""Data-free distillation: the student learns from images that are made from the teacher alone."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """The procedures, each with a generator or with images of its own."""
    return {
        "generative": "kdzoo_data_free.dfq:GeneratorDistillation",
        "dafl": "kdzoo_data_free.dafl:ExcitingImages",
        "zskt": "kdzoo_data_free.zskt:ZeroShot",
        "fast": "kdzoo_data_free.fast:MetaGenerator",
        "deepinversion": "kdzoo_data_free.deepinversion:DeepInversion",
    }
