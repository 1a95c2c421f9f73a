"""A network as a file that runs elsewhere, compared with the network before it takes its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from kdzoo.errors import KdzooError
from kdzoo.files import replacing, write_text
from kdzoo.use import eight_bit, writers
from kdzoo.use.description import Description
from kdzoo.use.extra import needed
from kdzoo.use.files import ONNX, PT2, TORCHSCRIPT, open_file
from kdzoo.use.model import Model, normalised
from kdzoo.use.samples import Samples

Form = Literal["onnx", "torchscript", "pt2", "int8"]

SUFFIXES: Mapping[str, str] = {"onnx": ONNX, "torchscript": TORCHSCRIPT, "pt2": PT2, "int8": ".int8.onnx"}
"""Of the files of each form."""

TOLERANCE = 1e-3
"""Largest accepted difference to torch, as a part of the largest output, or of 1 if that is larger."""

LEAST_AGREEMENT = 90.0
"""Of a file of eight bits with float, in percent."""


@dataclass(frozen=True, eq=False)
class Exported:
    """A written file.

    Attributes:
        path: the file; its description lies beside it as ``.json``.
        model: the file, opened.
        difference: the largest one between its outputs and torch's.
        agreement: percent of the pictures for which both find the same class; of features, the mean cosine
            similarity in percent.
        samples: the pictures.
        how: of a file of eight bits: how it was rounded.
        plain: of a file of eight bits: the same network as an ONNX file in float32, to be compared with.
    """

    path: Path
    model: Model
    difference: float
    agreement: float
    samples: Samples
    how: str = ""
    plain: Model | None = None


def export(
    model: Model,
    form: Form,
    path: Path,
    samples: Samples,
    *,
    included: bool = False,
    batch: int | None = None,
    least_agreement: float = LEAST_AGREEMENT,
) -> Exported:
    """Write the file and its description, or nothing.

    Args:
        model: a network in torch.
        form: of the file.
        path: where to; an existing file is replaced.
        samples: pictures for the comparison, and for the ranges of eight bits.
        included: whether the file takes pixels and normalises them itself.
        batch: number of pictures that it takes at once; None = any.
        least_agreement: of eight bits with float, in percent; see :class:`Exported`.

    Raises:
        KdzooError: it cannot be exported, answers otherwise than the network, or cannot be written.
    """
    if model.module is None:
        raise KdzooError(
            f"{model.name} is exported already; name the run, the student's folder or the timm model"
        )
    suffix = ONNX if form == "int8" else SUFFIXES[form]
    if path.suffix.lower() != suffix:
        raise KdzooError(f"--output {path}: a file of the form {form} ends with {suffix}")
    how = model.description.preprocessing.model_copy(update={"included": included})
    description = model.description.model_copy(update={"preprocessing": how, "batch": batch})
    wanted = model.answer(samples.pixels)
    new = [one for one in (path.parent, *path.parent.parents) if not one.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            if form == "int8":
                done = _eight_bits(model.module, description, part, wanted, samples, least_agreement)
            else:
                part.write_bytes(_WRITERS[form](model.module, description))
                done = _compared(part, path.suffix.lower(), wanted, samples, path)
                _check_difference(done, wanted, path)
    except OSError as error:
        raise KdzooError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        for folder in new:  # made for nothing: those that are empty still
            with suppress(OSError):
                folder.rmdir()
    write_text(path.with_suffix(".json"), done.model.description.model_dump_json(indent=2) + "\n")
    opened = open_file(path)
    return replace(done, path=path, model=opened)


_WRITERS: Mapping[str, Callable[[nn.Module, Description], bytes]] = {
    "onnx": writers.onnx,
    "torchscript": writers.torchscript,
    "pt2": writers.pt2,
}


def _compared(
    part: Path, suffix: str, wanted: Tensor, samples: Samples, path: Path, how: str = ""
) -> Exported:
    """The file opened as its user opens it, asked about one picture and about all others at once."""
    opened = open_file(part, suffix)
    parts = [one for one in (samples.pixels[:1], samples.pixels[1:]) if len(one)]
    found = torch.cat([opened.answer(one) for one in parts])
    if found.shape != wanted.shape:
        raise KdzooError(
            f"{path.name}: answers {tuple(found.shape)} where torch answers {tuple(wanted.shape)}"
        )
    if opened.description.output == "logits":
        alike = found.argmax(1) == wanted.argmax(1)
    else:
        alike = torch.cosine_similarity(found, wanted)
    agreement = 100.0 * float(alike.double().mean())
    return Exported(path, opened, float((found - wanted).abs().max()), agreement, samples, how)


def _check_difference(done: Exported, wanted: Tensor, path: Path) -> None:
    allowed = TOLERANCE * max(1.0, float(wanted.abs().max()))
    if not done.difference <= allowed:  # so is one that is no number
        raise KdzooError(
            f"{path.name}: its answers differ from torch's by up to {done.difference:.2g} on {done.samples.what}, "
            f"more than {allowed:.2g}; nothing was written. Take another form (--to), or report it"
        )


def _eight_bits(
    module: nn.Module, description: Description, part: Path, wanted: Tensor, samples: Samples, least: float
) -> Exported:
    """The way of rounding that suits the network, or else the other one."""
    tool = needed("onnx", "int8")
    plain = writers.onnx(module, description)
    proto = tool.load_from_string(plain)
    size = description.batch or 16
    pixels = samples.pixels
    whole = len(pixels) // size * size if description.batch else len(pixels)
    if not whole:
        raise KdzooError(
            f"int8 with --batch {size} needs as many pictures for its ranges; there are {len(pixels)}"
        )
    batches = [
        {"image": normalised(pixels[start : start + size], description.preprocessing)}
        for start in range(0, whole, size)
    ]
    part.write_bytes(plain)
    unrounded = open_file(part, ONNX)
    tried = []
    for way in eight_bit.order_of(proto):
        rounded = tool.load_from_string(eight_bit.rounded(plain, way, batches))
        writers.described(rounded, description)
        part.write_bytes(rounded.SerializeToString())
        done = _compared(part, ONNX, wanted, samples, part, way)
        if done.agreement >= least:
            return replace(done, plain=unrounded)
        tried.append(f"{way}: {done.agreement:.0f} %")
    raise KdzooError(
        f"in eight bits it agrees too little with float on {samples.what} ({'; '.join(tried)}; "
        f"--least-agreement is {least:g} %); nothing was written. Train with a method that rounds, or export onnx"
    )
