"""The mathematics of data-free distillation as pure functions."""
