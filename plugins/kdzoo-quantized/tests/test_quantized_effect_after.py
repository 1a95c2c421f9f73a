"""What eight real bits cost, and what learned rounding is good for after training."""

import pytest

pytestmark = pytest.mark.slow  # a whole procedure takes up to a minute

ROUNDED = {
    "student": "test_resnet",
    "labels_per_class": 0,
    "algorithm.weight_bits": 2,
    "algorithm.activation_bits": 4,
    "algorithm.images": 512,
}
NEAREST = {"algorithm.rounding_lr": 0, "algorithm.step_lr": 0}
LEARNED = {"algorithm.rounding_lr": 1e-2, "algorithm.step_lr": 1e-2}


def test_int8_is_within_a_point_of_float(experiment, beats):
    """int8: the int8 program answers as well as the float student, in a third of the bytes."""
    result = experiment("int8", epochs=8, **{"algorithm.latency_runs": 0}).result
    beats("test accuracy of int8 and float, %", result["test/int8"], result["test/last"], by=-1.0)
    shrunk = result["size/float_weight_bytes"] / result["size/int8_weight_bytes"]
    beats("bytes of the weights, float by int8", shrunk, 1.0, by=2)
    assert result["test/last"] > 90


def test_learned_rounding_saves_two_bits(experiment, beats):
    """ptq-distill: blocks that learn to return what the teacher's return, against rounding to nearest, W2A4."""
    nearest = experiment("ptq-distill", epochs=1, **ROUNDED, **NEAREST).accuracy
    learned = experiment("ptq-distill", epochs=8, **ROUNDED, **LEARNED).accuracy
    beats("test accuracy of W2A4, %", learned, nearest, by=40)
