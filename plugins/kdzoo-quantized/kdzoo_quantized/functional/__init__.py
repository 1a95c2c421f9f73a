"""Quantization as pure functions; they compute in at least float32."""

from kdzoo_quantized.functional.lsq import fake_quantize, initial_step, levels, to_integers

__all__ = ["fake_quantize", "initial_step", "levels", "to_integers"]
