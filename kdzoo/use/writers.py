"""A network as the bytes of a file, in each form."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.errors import KdzooError
from kdzoo.use.description import KEY, Description
from kdzoo.use.extra import needed
from kdzoo.use.model import FromPixels

_OPSET = 18
_MOST = 1_900_000_000
"""Bytes of a network in one ONNX file; protobuf's limit is two GiB."""


def prepared(module: nn.Module, description: Description) -> tuple[nn.Module, Tensor]:
    """What is exported, and an example of its input ``image``.

    Args:
        module: takes normalised (B, C, H, W).
        description: of the file.
    """
    preprocessing, batch = description.preprocessing, description.batch or 2
    channels, height, width = preprocessing.input_size
    draw = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (batch, height, width, channels), dtype=torch.uint8, generator=draw)
    module = copy.deepcopy(module).cpu()
    if preprocessing.included:
        return FromPixels(module, preprocessing).requires_grad_(False), image
    return _Named(module), image.permute(0, 3, 1, 2).float() / 255


class _Named(nn.Module):
    """The network with an input that is called ``image``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(B, K)."""
        answered: Tensor = self.network(image)
        return answered


def program(module: nn.Module, description: Description) -> torch.export.ExportedProgram:
    """The network as a graph, for any number of pictures unless the description fixes it.

    Raises:
        KdzooError: torch.export cannot follow it.
    """
    whole, image = prepared(module, description)
    shapes = None if description.batch else {"image": {0: torch.export.Dim("batch")}}
    try:
        with torch.no_grad(), _quiet():
            return torch.export.export(whole, (image,), dynamic_shapes=shapes)
    except Exception as error:  # it can raise any exception
        raise _refused("torch.export", description, error) from error


def onnx(module: nn.Module, description: Description) -> bytes:
    """An ONNX file, without files beside it, from ``image`` to ``logits`` or ``features``.

    Raises:
        KdzooError: a package is missing, or the exporter cannot express the network.
    """
    tool = needed("onnx", "the ONNX exporter")
    needed("onnxscript", "the ONNX exporter")  # whose import needs the former
    if sum(one.nbytes for one in (*module.parameters(), *module.buffers())) > _MOST:
        raise KdzooError(
            f"{description.architecture}: more than 1.9 GB of weights do not fit into one ONNX file"
        )
    graph = program(module, description)
    try:
        with torch.no_grad(), _quiet():
            made = torch.onnx.export(
                graph, (), dynamo=True, input_names=["image"], output_names=[description.output],
                opset_version=_OPSET, external_data=False, verbose=False,
            )  # fmt: skip
        assert made is not None
        proto = made.model_proto
        described(proto, description)
        tool.checker.check_model(proto)
    except Exception as error:  # as above
        raise _refused("torch's ONNX exporter", description, error) from error
    content: bytes = proto.SerializeToString()
    return content


def described(proto: object, description: Description) -> None:
    """Put the description into an ONNX model, in place of an older one."""
    metadata = proto.metadata_props  # type: ignore[attr-defined]  # a protobuf message, whose package is optional
    others = [(one.key, one.value) for one in metadata if one.key != KEY]
    del metadata[:]
    for key, value in [*others, (KEY, description.model_dump_json())]:
        metadata.add(key=key, value=value)


def torchscript(module: nn.Module, description: Description) -> bytes:
    """A TorchScript archive, traced.

    Raises:
        KdzooError: it cannot be traced.
    """
    whole, image = prepared(module, description)
    made = io.BytesIO()
    try:
        with torch.no_grad(), _quiet():
            trace: Any = torch.jit.trace  # untyped in torch
            traced = trace(whole, image, check_trace=False)  # it is compared on real pictures later
            torch.jit.save(traced, made, _extra_files={KEY: description.model_dump_json()})
    except Exception as error:  # as above
        raise _refused("torch.jit.trace", description, error) from error
    return made.getvalue()


def pt2(module: nn.Module, description: Description) -> bytes:
    """A ``torch.export`` archive.

    Raises:
        KdzooError: torch.export cannot follow it.
    """
    made = io.BytesIO()
    with _quiet():
        torch.export.save(
            program(module, description), made, extra_files={KEY: description.model_dump_json()}
        )
    return made.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own deprecations, and log what they decompose; nobody here can act on it."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)


def _refused(who: str, description: Description, error: Exception) -> KdzooError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return KdzooError(
        f"{who} cannot express {description.architecture} ({reason}); take another form or student"
    )
