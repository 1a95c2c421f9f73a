"""ONNX files whose weights and activations have eight bits, by onnxruntime's own quantization.

What a network mostly is decides how. Convolutions: weights and activations in pairs of QuantizeLinear and
DequantizeLinear (QDQ), ranges calibrated on pictures, one scale for each output channel. Matrix products, as in
transformers: weights in eight bits, activations rounded as they come (dynamic), since their ranges differ too much
between pictures. Weights use seven of the eight bits: processors without VNNI overflow otherwise.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from kdzoo.use.extra import needed

STATIC, DYNAMIC = "calibrated (QDQ)", "dynamic"


def make_operators_known() -> None:
    """Let torch read programs with rounded tensors, whose operators this module registers."""
    import_module("torch.ao.quantization.fx._decomposed")


def order_of(proto: Any) -> tuple[str, str]:
    """The ways to round an ONNX model, the one that suits it first."""
    sizes = {one.name: _number(one.dims) for one in proto.graph.initializer}
    weights = dict.fromkeys(("Conv", "MatMul", "Gemm"), 0)
    for node in proto.graph.node:
        if node.op_type in weights:
            weights[node.op_type] += sum(sizes.get(name, 0) for name in node.input)
    convolutional = weights["Conv"] >= weights["MatMul"] + weights["Gemm"]
    return (STATIC, DYNAMIC) if convolutional else (DYNAMIC, STATIC)


def _number(dims: Sequence[int]) -> int:
    product = 1
    for one in dims:
        product *= one
    return product


def rounded(model: bytes, way: str, batches: Sequence[Mapping[str, Any]]) -> bytes:
    """The model in eight bits.

    Args:
        model: an ONNX file.
        way: one of :func:`order_of`.
        batches: inputs by name, for the ranges of the activations.

    Raises:
        KdzooError: onnxruntime is not installed.
    """
    tool = needed("onnxruntime.quantization", "int8")
    shapes = needed("onnxruntime.quantization.shape_inference", "int8")
    with tempfile.TemporaryDirectory() as made, _quiet():
        given, prepared, result = (Path(made) / f"{name}.onnx" for name in ("given", "prepared", "result"))
        given.write_bytes(model)
        shapes.quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        if way == DYNAMIC:
            tool.quantize_dynamic(
                str(prepared), str(result), op_types_to_quantize=["MatMul", "Gemm"], per_channel=True,
                reduce_range=True, weight_type=tool.QuantType.QInt8,
            )  # fmt: skip
        else:
            tool.quantize_static(
                str(prepared), str(result), _reader(tool.CalibrationDataReader, batches),
                quant_format=tool.QuantFormat.QDQ, per_channel=True, reduce_range=True,
                activation_type=tool.QuantType.QUInt8, weight_type=tool.QuantType.QInt8,
            )  # fmt: skip
        return result.read_bytes()


def _reader(base: Any, batches: Sequence[Mapping[str, Any]]) -> Any:
    """The batches as onnxruntime wants them."""
    left: Iterator[Mapping[str, Any]] = iter(batches)

    class Reader(base):  # type: ignore[misc]  # onnxruntime is optional
        def get_next(self) -> Mapping[str, Any] | None:
            return next(left, None)

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Its hints on the root logger are about steps that are taken here."""
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(before)
