"""The mathematics of quantization as pure functions; they compute in float32 at least."""

from kdzoo_quantized.functional.lsq import fake_quantize, initial_step, levels, to_integers

__all__ = ["fake_quantize", "initial_step", "levels", "to_integers"]
