"""The base of algorithms that train a quantized student with the help of a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kdzoo.api import Algorithm, Run
from kdzoo_quantized.network import describe, sizes
from kdzoo_quantized.student import Bits, Precision


class Quantizing(Algorithm):
    """Trains a student whose weights and activations are quantized.

    Args:
        weight_bits: bits of each layer's weights; null keeps them in float.
        activation_bits: bits of each layer's input; null keeps it in float.
        first_last_bits: bits of both in the first and the last layer; null keeps these in float.
        per_channel: one weight step size per output channel; else one per layer.
    """

    reads_teacher = True

    def __init__(
        self,
        weight_bits: Bits = 4,
        activation_bits: Bits = 4,
        first_last_bits: Bits = None,
        per_channel: bool = False,
    ) -> None:
        self.precision = Precision(weight_bits, activation_bits, first_last_bits, per_channel)

    def measure(self, run: Run) -> Mapping[str, float]:
        """``size/student_bytes`` and ``size/float_bytes``: the storage size of the weights."""
        return {f"size/{name}": value for name, value in sizes(run.roles["student"]).items()}

    def export(self, run: Run, folder: Path) -> str:
        """A description of the quantization, for the student's card."""
        return describe(run.roles["student"])
