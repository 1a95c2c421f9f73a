"""The mathematics of quantization as pure functions; they compute in float32 at least."""
