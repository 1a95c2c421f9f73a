"""The command ``kdzoo stripes``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from kdzoo.api import KdzooError
from PIL import Image

from kdzoo_stripes.data import Stripes


def stripes(
    output: Annotated[Path, typer.Argument(help="The PNG file to write.")],
    angles: Annotated[int, typer.Option(help="The number of classes.", min=2)] = 6,
    each: Annotated[int, typer.Option(help="Images of each class.", min=1)] = 4,
) -> None:
    """Draw a sheet of the data set, with a row for each class."""
    samples = Stripes(angles=angles, train=each).split("train")
    assert samples is not None, "there is a training split"
    images = np.asarray(samples.images)
    rows = [np.concatenate(list(images[label::angles]), axis=1) for label in range(angles)]
    try:
        Image.fromarray(np.concatenate(rows)).save(output)
    except (OSError, ValueError) as error:
        raise KdzooError(f"{output}: {error}") from error
    print(output)
