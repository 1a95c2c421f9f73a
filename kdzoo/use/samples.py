"""Pictures on which an exported file is compared with its network: real ones if there are any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from kdzoo.data.listing import Pixels
from kdzoo.errors import KdzooError
from kdzoo.use.data import Labelled, data_of, split_of
from kdzoo.use.decoding import batched, from_listing, in_threads
from kdzoo.use.description import Preprocessing
from kdzoo.use.model import Model
from kdzoo.zoo import Zoo


@dataclass(frozen=True, eq=False)
class Samples:
    """Prepared pictures (N, H, W, C); ``what`` names them in a sentence."""

    pixels: Pixels
    what: str


def samples_for(model: Model, given: Mapping[str, Any], number: int, zoo: Zoo | None = None) -> Samples:
    """So many pictures at most: of the validation split of the data that are given or of the run's; else made ones.

    Where there is no validation split they are of the test split, which decides nothing here.

    Args:
        model: for whom they are prepared.
        given: keys of the recipe's ``data``; may be empty.
        number: how many.
        zoo: whose plugins may have the data set.

    Raises:
        KdzooError: the data that were named cannot be read.
    """
    preprocessing = model.description.preprocessing
    try:
        if not given and model.run is None:
            return Samples(
                made_pictures(preprocessing, number), f"{number} made pictures (--data-dir takes real ones)"
            )
        config = data_of(given, model.run)
        try:
            split = split_of(config, "val", zoo)
        except KdzooError:
            split = split_of(config, "test", zoo)
        pixels = _spread(split, preprocessing, number)
    except KdzooError as error:
        if given:
            raise
        why = f"the run's data are not there: {error}; --data-dir takes others"
        return Samples(made_pictures(preprocessing, number), f"{number} made pictures ({why})")
    return Samples(pixels, f"{len(pixels)} pictures of the {split.what}")


def _spread(split: Labelled, preprocessing: Preprocessing, number: int) -> Pixels:
    """Pictures that lie evenly in the split, so of many classes; unreadable ones are left out."""
    places = np.linspace(0, len(split.rows) - 1, min(number, len(split.rows))).round().astype(int)
    rows = [split.rows[place] for place in dict.fromkeys(places.tolist())]
    made = from_listing(split.listing, [preprocessing])
    found = [
        one[0]
        for _, ready in in_threads(batched(rows, 32), made)
        for one in ready
        if not isinstance(one, str)
    ]
    if not found:
        raise KdzooError(f"no picture of the {split.what} can be read")
    return np.stack(found)


def made_pictures(preprocessing: Preprocessing, number: int) -> Pixels:
    """Coloured clouds with noise on them, (number, H, W, C), always the same."""
    channels, height, width = preprocessing.input_size
    draw = torch.Generator().manual_seed(0)
    clouds = torch.rand(number, channels, 6, 6, generator=draw)
    smooth = functional.interpolate(clouds, size=(height, width), mode="bicubic")
    noisy = smooth + 0.1 * torch.randn(smooth.shape, generator=draw)
    pixels: Pixels = (noisy.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return pixels
