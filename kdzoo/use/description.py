"""What an exported network says of itself: how pictures become its input, and what its output means."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from timm.data import create_transform

from kdzoo.data.decode import upright
from kdzoo.data.listing import Pixels
from kdzoo.errors import Damaged, Fault
from kdzoo.version import __version__

KEY = "kdzoo.json"
"""The name of the description inside a file: a key of ONNX's metadata, an extra file of torch's archives."""

_Side = Annotated[int, Field(ge=1, le=16384)]


class Preprocessing(BaseModel):
    """How a picture becomes the network's input, in timm's terms.

    Attributes:
        input_size: channels, height, width.
        crop_pct: the shorter side is resized to floor(side / crop_pct), then the centre is cut out.
        interpolation: a name of Pillow's filters.
        crop_mode: ``center``, or ``squash``, which resizes both sides.
        mean: of each channel, subtracted from pixels in [0, 1].
        std: of each channel, divides the result.
        included: whether the file takes pixels (B, H, W, C), uint8, and normalises them itself; else it takes
            (B, C, H, W), float32, normalised.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_size: tuple[Annotated[int, Field(ge=1, le=4)], _Side, _Side]
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 1.0
    interpolation: Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"] = "bicubic"
    crop_mode: Literal["center", "squash"] = "center"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    included: bool = False

    @model_validator(mode="after")
    def _per_channel(self) -> Preprocessing:
        if not len(self.mean) == len(self.std) == self.input_size[0] or 0 in self.std:
            raise ValueError("mean and std have a number for each channel, and std is not zero")
        return self

    def pixels(self, image: Image.Image) -> Pixels:
        """(H, W, C) uint8 of an opened picture: decoded as in training, then resized and cropped."""
        shown: Pixels = self._transform(upright(image)).permute(1, 2, 0).numpy()
        if self.input_size[0] == 1:
            shown = np.asarray(Image.fromarray(shown).convert("L"))[..., None]
        return shown

    @cached_property
    def _transform(self) -> Any:
        return create_transform(
            (3, *self.input_size[1:]), is_training=False, interpolation=self.interpolation,
            crop_pct=self.crop_pct, crop_mode=self.crop_mode, normalize=False,
        )  # fmt: skip


class Description(BaseModel):
    """The JSON inside and beside an exported file.

    Attributes:
        kdzoo: the version that wrote it.
        architecture: of the network.
        label_names: in the order of the logits; None if nobody has named them.
        output: ``logits`` (B, K), or ``features`` (B, D) of a network without a classifier.
        preprocessing: how a picture becomes the input.
        batch: number of pictures that it takes at once; None = any.
        parameters: number of parameters of the network before its export.
        multiply_adds: for one picture, as torch counts them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kdzoo: str = __version__
    architecture: str
    label_names: tuple[str, ...] | None = None
    output: Literal["logits", "features"] = "logits"
    preprocessing: Preprocessing
    batch: Annotated[int, Field(ge=1)] | None = None
    parameters: int | None = None
    multiply_adds: int | None = None

    @classmethod
    def parse(cls, text: str | bytes, source: object) -> Description:
        """From JSON.

        Raises:
            Damaged: it is no description; names ``source``.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise Damaged(f"{source}: not a description by kdzoo export ({Fault.first(error)})") from None

    def name_of(self, place: int) -> str:
        """The class at a place of the logits."""
        return str(place) if self.label_names is None else self.label_names[place]
