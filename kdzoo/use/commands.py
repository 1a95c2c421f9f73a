"""Conversions by programs of others, as commands."""

from __future__ import annotations

from pathlib import Path

from kdzoo.use.description import Description


def command_for(to: str, given: str, file: Path, description: Description) -> str:
    """The line that says how an ONNX file becomes one of OpenVINO or of TensorRT.

    Args:
        to: ``openvino`` or ``tensorrt``.
        given: the run, as the user wrote it.
        file: where ``kdzoo export --to onnx`` writes.
        description: of the network.
    """
    first = f"kdzoo export {given} --to onnx"
    if to == "openvino":
        return f"--to openvino is done by OpenVINO's own converter: {first} && pip install openvino && ovc {file}"
    channels, height, width = description.preprocessing.input_size
    sizes = " ".join(
        f"--{name}Shapes=image:{number}x{channels}x{height}x{width}"
        for name, number in (("min", 1), ("opt", 8), ("max", 64))
    )
    engine = file.with_suffix(".engine")
    return (
        f"--to tensorrt is done by TensorRT on the GPU that will run it: {first} && trtexec --onnx={file} {sizes} "
        f"--saveEngine={engine}"
    )
