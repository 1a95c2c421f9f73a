"""torchao's PT2E flow: a fake-quantized graph for training, and its int8 program.

Only this module uses torchao.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace

import torch
from torch import Tensor, fx, nn

from kdzoo.api import Assembled, Backbone, KdzooError, Output, Probe
from kdzoo_quantized.graph import First, drop_unused, export, traced, weights_of


def load_torchao() -> SimpleNamespace:
    """The used parts of torchao.

    Raises:
        KdzooError: it is not installed.

    """
    with _quiet():
        try:
            fake = import_module("torchao.quantization.pt2e.fake_quantize")
            flow = import_module("torchao.quantization.pt2e.quantize_pt2e")
            x86 = import_module("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer")
        except ImportError:
            raise KdzooError("algorithm 'int8' needs torchao: pip install 'kdzoo-quantized[int8]'") from None
    return SimpleNamespace(fake=fake, flow=flow, x86=x86)


class FakeQuantized(Assembled):
    """A timm backbone as a PT2E graph with fake-quantized weights and activations.

    Batch norms are folded into convolutions, and those that cannot be folded keep their statistics: train and
    eval mode differ only in that ranges are observed in train mode. It outputs every stage and the embedding,
    as the backbone does, so that any knowledge without probes can be used.

    Args:
        backbone: the network, which is not changed.
        image_shape: (C, H, W) of the images.
        learns: quantization-aware training (QAT); else only observed until it is converted (PTQ).

    Attributes:
        left_in_float: the weights that torchao's quantizer does not round, by their names in the model.

    Raises:
        KdzooError: torchao is not installed, or torch.export cannot follow the model.

    """

    def __init__(self, backbone: Backbone, image_shape: tuple[int, int, int], *, learns: bool) -> None:
        super().__init__()
        ao = load_torchao()
        self.label_names = backbone.label_names
        self._image_shape = image_shape
        plain, self._stages, self._embedding = traced(backbone, image_shape)
        quantizer = ao.x86.X86InductorQuantizer()
        quantizer.set_global(ao.x86.get_default_x86_inductor_quantization_config(is_qat=learns))
        with _quiet():
            prepare = ao.flow.prepare_qat_pt2e if learns else ao.flow.prepare_pt2e
            prepared = prepare(plain, quantizer)
        self.graph = fx.GraphModule(prepared, prepared.graph)
        self.graph.meta.update(prepared.meta)
        self._rounding: list[nn.Module] = [
            module for module in self.graph.modules() if isinstance(module, ao.fake.FakeQuantizeBase)
        ]
        self._observing: bool | None = None
        left = (str(one.target) for one in weights_of(self.graph) if one.op == "get_attr")
        self.left_in_float = tuple(name.removeprefix("backbone.model.") for name in left)
        if not any(node.op == "call_module" for node in self.graph.graph.nodes):
            raise KdzooError(
                f"model {backbone.name!r}: torchao's X86InductorQuantizer finds nothing in it to quantize; "
                "take a student with plain convolutions or linear layers"
            )

    def forward(
        self,
        image: Tensor,
        stages: tuple[int, ...] = (),
        embedding: bool = False,
        probes: tuple[Probe, ...] = (),
    ) -> Output:
        """As for a backbone; (B, C, H, W) images in [0, 1]."""
        if probes:
            raise KdzooError(
                f"an exported int8 graph cannot be looked into, as {type(probes[0]).__name__} does: take knowledge "
                "of logits, stages or the embedding, or algorithm.qat_fraction=0"
            )
        if embedding and not self._embedding:
            raise KdzooError("this student has no embedding; use knowledge that does not read it")
        if self._observing is not self.training:
            self._observing = self.training
            for module in self._rounding:
                module.enable_observer(self.training)  # type: ignore[operator]  # torchao's method
        with torch.autocast(image.device.type, enabled=False):  # the observed ranges must be those of float32
            logits, *shown = self.graph(image.float())
        last = shown.pop() if self._embedding else None
        return Output(
            logits,
            tuple(shown[self._stages.index(stage)] for stage in sorted(stages)),
            last if embedding else None,
        )

    def int8(self) -> torch.export.ExportedProgram:
        """The program with int8 weights and uint8 activations; images to logits, on the CPU.

        Raises:
            KdzooError: no ranges have been observed yet.

        """
        graph = copy.deepcopy(self.graph).cpu()
        with _quiet(), torch.no_grad():
            converted = load_torchao().flow.convert_pt2e(graph)
        drop_unused(converted)
        program = First(fx.GraphModule(converted, converted.graph)).eval()
        return export(program, self._image_shape)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings of torchao 0.18 about itself."""
    logger = logging.getLogger("torch.utils._pytree")  # hears of an enum that torchao registers twice
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # From a docstring of torchao, when it is compiled for the first time.
        warnings.filterwarnings("ignore", "invalid escape sequence", DeprecationWarning)
        try:
            yield
        finally:
            logger.setLevel(level)
