"""What a network says of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from kdzoo.data.listing import Pixels
from kdzoo.errors import KdzooError
from kdzoo.use.decoding import batched, from_file, in_threads
from kdzoo.use.model import Model
from kdzoo.use.pictures import Picture


@dataclass(frozen=True, eq=False)
class Prediction:
    """Of one picture.

    Attributes:
        name: its file.
        problem: why there is no prediction; empty if there is one.
        output: (K,) logits or (D,) features; None with a problem.
    """

    name: str
    problem: str = ""
    output: Tensor | None = None


def predict(model: Model, pictures: Iterable[Picture], *, batch: int = 32) -> Iterator[Prediction]:
    """The prediction of each picture, in their order; no more than two batches of pictures are in memory.

    Args:
        model: the network.
        pictures: what to look at.
        batch: pictures that it is asked about at once.
    """
    decode = from_file(model.description.preprocessing)

    def made(picture: Picture) -> Pixels | str:
        return picture.problem or decode(picture.name)

    for asked, pixels in in_threads(batched(pictures, batch), made):
        good = [one for one in pixels if not isinstance(one, str)]
        answers = iter(model.answer(np.stack(good)) if good else ())
        for picture, one in zip(asked, pixels, strict=True):
            if isinstance(one, str):
                yield Prediction(picture.name, one)
            else:
                yield Prediction(picture.name, output=next(answers))


def top(model: Model, output: Tensor, k: int) -> list[tuple[str, float]]:
    """The ``k`` most probable classes, or all if there are fewer, with their probabilities in [0, 1].

    Raises:
        KdzooError: the network has fewer or more logits than names.
    """
    names = model.description.label_names
    if names is not None and len(names) != len(output):
        raise KdzooError(f"{model.name}: {len(output)} logits, and names for {len(names)} classes")
    found = output.double().softmax(0).topk(min(k, len(output)))
    return [
        (model.description.name_of(place), value)
        for place, value in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    ]
