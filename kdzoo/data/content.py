"""Hashes of what an opened data set shows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from kdzoo.data.images import IMAGE
from kdzoo.data.listing import digest
from kdzoo.data.parts import Part

Pixels = Mapping[str, Mapping[str, str]]
"""Modality -> listing name -> digest of its images; the image is the first modality."""


class Hashes(NamedTuple):
    """Those of :class:`kdzoo.data.dataset.DataSet`."""

    seen: str
    content: str
    contents: Mapping[str, str]


def hashes(
    parts: Mapping[str, Part],
    pixels: Pixels,
    classes: Sequence[str],
    img_size: int,
    computed: Mapping[str, str],
) -> Hashes:
    """The hashes of a data set.

    Args:
        parts: the splits.
        pixels: of the modalities that are read.
        classes: their names.
        img_size: side in pixels.
        computed: modality -> how it is computed.
    """
    seen, content = _hashes(parts, pixels, classes, img_size, computed)
    contents = {
        modality: _hashes(
            parts,
            {name: own for name, own in pixels.items() if name in (IMAGE, modality)},
            classes,
            img_size,
            {name: kind for name, kind in computed.items() if name == modality},
        )[1]
        for modality in (*pixels, *computed)
    }
    return Hashes(seen, content, contents)


def _hashes(
    parts: Mapping[str, Part],
    pixels: Pixels,
    classes: Sequence[str],
    img_size: int,
    computed: Mapping[str, str],
) -> tuple[str, str]:
    """Of what is shown, and of the same as if no label were withheld."""
    first, *paired = pixels
    common: list[object] = [img_size, *classes]
    for name in sorted(paired):
        common += "paired", name, *(pixels[name][origin] for origin in sorted(pixels[name]))
    for name in sorted(computed):
        common += "computed", name, computed[name]
    shown, full = [*common], [*common]
    for name, part in parts.items():
        about = name, pixels[first][part.origin], _digest(part.split.index)
        shown += *about, _digest(part.split.target)
        full += *about, hashlib.sha256(part.listing.targets[part.split.index.numpy()].tobytes()).hexdigest()
    return digest(shown), digest(full)


def _digest(numbers: Tensor) -> str:
    return hashlib.sha256(numbers.numpy().tobytes()).hexdigest()
