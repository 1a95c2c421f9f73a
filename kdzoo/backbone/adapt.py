"""Weights of other classes in a network: loaded without their classifier, or cut to the classes that are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timm.models import get_model_input_config

from kdzoo.api.network import Backbone
from kdzoo.backbone.checkpoint import fitting, head_names
from kdzoo.backbone.origin import Origin
from kdzoo.errors import KdzooError


def load_origin(backbone: Backbone, origin: Origin, *, head: bool) -> None:
    """Load the weights of ``origin`` into a network, with their classifier or without.

    Raises:
        KdzooError: they do not fit.
    """
    assert origin.path is not None
    fitted = fitting(origin.weights, backbone.model, origin.path, any_head=not head)
    backbone.model.load_state_dict(fitted, strict=False)  # `fitting` has compared the names


def keep_classes(backbone: Backbone, rows: Sequence[int], names: Sequence[str]) -> None:
    """Cut the classifier to these of its rows, in this order: the logits are those of before at ``rows``.

    Args:
        backbone: the network.
        rows: places among its logits.
        names: the name of each.

    Raises:
        KdzooError: timm does not say where the model's classifier is.
    """
    model = backbone.model
    state = model.state_dict()
    heads = [f"{name}.{kind}" for name in head_names(model) for kind in ("weight", "bias")]
    cut = {name: state[name][list(rows)] for name in heads if name in state}
    if not cut:
        raise KdzooError(
            f"model {backbone.name!r}: timm does not say where its classifier is, so it cannot be cut to the data's "
            "classes; train a new one (--teacher-train head)"
        )
    model.reset_classifier(len(rows))
    model.load_state_dict({**state, **cut})
    model.to(next(iter(state.values())).device)
    backbone.num_classes = model.num_classes
    backbone.label_names = tuple(names)


def see_as(backbone: Backbone, described: Mapping[str, Any], *, resize: bool) -> None:
    """Normalise images as the description of an exported folder says, and ``resize`` them to its size.

    A model of fixed size keeps its own.
    """
    backbone.normalise(described.get("mean"), described.get("std"))
    size = described.get("input_size")
    if resize and size and not get_model_input_config(backbone.model)["fixed_input_size"]:
        backbone.input_size = (int(size[-2]), int(size[-1]))


def check_names(folder: Path, theirs: Sequence[str] | None, ours: Sequence[str] | None) -> list[int] | None:
    """The rows that put ``theirs`` in the order of ``ours``; None if they are in order, or not known.

    Raises:
        KdzooError: the same number of other names.
    """
    if ours is None or theirs is None or len(theirs) != len(ours) or list(theirs) == list(ours):
        return None
    if sorted(theirs) == sorted(ours):
        return [list(theirs).index(name) for name in ours]
    at = next(index for index, (a, b) in enumerate(zip(theirs, ours, strict=True)) if a != b)
    raise KdzooError(
        f"checkpoint {folder}: its class {at} is {theirs[at]!r}, the data's is {ours[at]!r}; name the data's "
        f"folders alike, or pass {folder / 'model.safetensors'} if the names do not matter"
    )
