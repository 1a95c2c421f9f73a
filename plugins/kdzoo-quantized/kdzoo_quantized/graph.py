"""A timm backbone as an exported graph, with batch norms folded into convolutions."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

from kdzoo.api import Backbone, KdzooError
from kdzoo_quantized.functional.folding import fold_norm

_CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)
_NORM = torch.ops.aten.batch_norm.default
_WEIGHED = (*_CONVOLUTIONS, torch.ops.aten.linear.default)
"""Operations whose second argument is the weight that int8 stores."""


class Flat(nn.Module):
    """A backbone that returns a tuple, as exported programs do: logits, stages, embedding.

    Args:
        backbone: the backbone.
        stages: the stages to return, negative.
        embedding: whether to return the embedding, last.

    """

    def __init__(self, backbone: Backbone, stages: tuple[int, ...] = (), *, embedding: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.stages = stages
        self.embedding = embedding

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, C, H, W) in [0, 1] to (B, K) logits, stages and embedding."""
        answer = self.backbone(image, self.stages, self.embedding)
        return (answer.logits, *answer.features, *([answer.embedding] if self.embedding else []))


class First(nn.Module):
    """Returns the first tensor of a module's tuple."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) images to (B, K) logits."""
        first: Tensor = self.module(image)[0]
        return first


def export(module: nn.Module, image_shape: tuple[int, int, int]) -> torch.export.ExportedProgram:
    """``module`` in eval mode as a program from (B, C, H, W) images, for any B; on the CPU.

    Raises:
        KdzooError: torch.export cannot trace it.

    """
    example = torch.zeros(2, *image_shape, device="cpu")
    try:
        with torch.no_grad():
            return torch.export.export(
                module, (example,), dynamic_shapes={"image": {0: torch.export.Dim("batch")}}
            )
    except Exception as error:  # torch.export can raise any exception
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise KdzooError(
            f"the student cannot be exported by torch.export, which int8 needs: {reason}; take another student"
        ) from None


def traced(
    backbone: Backbone, image_shape: tuple[int, int, int]
) -> tuple[fx.GraphModule, tuple[int, ...], bool]:
    """The backbone in eval mode as a graph with its own parameters, with norms folded into convolutions.

    Args:
        backbone: the backbone, which is not changed.
        image_shape: (C, H, W) of the images.

    Returns:
        The graph, which returns a tuple; its stages; whether the tuple ends with the embedding.

    Raises:
        KdzooError: torch.export cannot trace the model, or the model computes its weights in each pass.

    """
    own = plain_copy(backbone)
    stages = tuple(range(-own.num_stages, 0))
    embedding = True
    try:
        with torch.no_grad():
            own(torch.zeros(1, *image_shape, device="cpu"), (), True)
    except KdzooError:
        embedding = False
    unlifted = export(Flat(own, stages, embedding=embedding), image_shape).module(check_guards=False)
    # torch.export's graph module refuses train() and eval(); an ordinary one with the same graph does not.
    graph = fx.GraphModule(unlifted, unlifted.graph)
    fold_norms(graph)
    _refuse_computed_weights(graph, backbone.name)
    return graph, stages, embedding


def weights_of(graph: fx.GraphModule) -> list[fx.Node]:
    """The node of each convolution's and linear layer's weight."""
    layers: list[Any] = [node for node in graph.graph.nodes if node.target in _WEIGHED]
    return [node.args[1] for node in layers]


def _refuse_computed_weights(graph: fx.GraphModule, model: str) -> None:
    layers = weights_of(graph)
    computed = [weight for weight in layers if weight.op != "get_attr"]
    if computed:
        raise KdzooError(
            f"model {model!r} computes the weights of {len(computed)} of its {len(layers)} layers in each pass, "
            "as weight standardisation does, and torchao leaves those in float; take a student that stores them"
        )


def plain_copy(backbone: Backbone) -> Backbone:
    """A copy on the CPU in eval mode with contiguous tensors, not compiled."""
    own = copy.deepcopy(backbone).cpu().eval()
    for tensor in (*own.parameters(), *own.buffers()):
        # torch.export treats a tensor with other strides as a view of another.
        tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)
    return own


def fold_norms(graph: fx.GraphModule) -> int:
    """Fold each batch norm that is a convolution's only consumer into it, in place; returns their number."""
    folded = 0
    for norm in list(graph.graph.nodes):
        if norm.target is not _NORM or norm.args[5]:  # in train mode its statistics are not fixed
            continue
        convolution = norm.args[0]
        if convolution.target not in _CONVOLUTIONS or len(convolution.users) > 1:
            continue
        weight_node = convolution.args[1]
        bias_node = convolution.args[2] if len(convolution.args) > 2 else None
        if len(weight_node.users) > 1 or (bias_node is not None and len(bias_node.users) > 1):
            continue
        _fold(graph, convolution, norm)
        folded += 1
    graph.graph.eliminate_dead_code()
    graph.recompile()
    drop_unused(graph)
    return folded


def _fold(graph: fx.GraphModule, convolution: fx.Node, norm: fx.Node) -> None:
    values = [None if node is None else _tensor(graph, node) for node in norm.args[1:5]]
    scale, shift, mean, variance = values
    weight_node: Any = convolution.args[1]
    bias_node: Any = convolution.args[2] if len(convolution.args) > 2 else None
    assert mean is not None
    assert variance is not None
    eps: Any = norm.args[7]
    weight, bias = fold_norm(
        _tensor(graph, weight_node).detach(),
        None if bias_node is None else _tensor(graph, bias_node).detach(),
        mean=mean.detach(),
        variance=variance.detach(),
        scale=None if scale is None else scale.detach(),
        shift=None if shift is None else shift.detach(),
        eps=eps,
    )
    owner, _, leaf = weight_node.target.rpartition(".")
    module = graph.get_submodule(owner)
    setattr(module, leaf, nn.Parameter(weight))
    name = f"{leaf}_folded_bias"
    module.register_parameter(name, nn.Parameter(bias))
    with graph.graph.inserting_before(convolution):
        added = graph.graph.get_attr(f"{owner}.{name}" if owner else name)
        added.meta = {**weight_node.meta, "val": norm.args[3].meta.get("val")}  # type: ignore[union-attr]
    arguments = list(convolution.args)
    arguments[2:3] = [added]
    convolution.args = tuple(arguments)
    norm.replace_all_uses_with(convolution)
    graph.graph.erase_node(norm)


def drop_unused(graph: fx.GraphModule) -> None:
    """Remove parameters, buffers and modules that no node uses."""
    read = {node.target for node in graph.graph.nodes if node.op == "get_attr"}
    for name in [name for name, _ in (*graph.named_parameters(), *graph.named_buffers())]:
        owner, _, leaf = name.rpartition(".")
        module = graph.get_submodule(owner)
        if name not in read and owner not in _called(graph):
            delattr(module, leaf)
    graph.delete_all_unused_submodules()


def _called(graph: fx.GraphModule) -> set[str]:
    """The called modules, with all their submodules."""
    called = [str(node.target) for node in graph.graph.nodes if node.op == "call_module"]
    return {name for one in called for name in (one, *(f"{one}.{sub}" for sub, _ in _inside(graph, one)))}


def _inside(graph: fx.GraphModule, name: str) -> list[tuple[str, nn.Module]]:
    return [(sub, module) for sub, module in graph.get_submodule(name).named_modules() if sub]


def _tensor(graph: fx.GraphModule, node: Any) -> Tensor:
    owner, _, leaf = node.target.rpartition(".")
    value: Tensor = getattr(graph.get_submodule(owner), leaf)
    return value
