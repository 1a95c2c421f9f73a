"""How training images are varied."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from kdzoo.recipe.auto_augment import parse
from kdzoo.recipe.section import Probability, Section

BlurWidth = Annotated[float, Field(gt=0, le=100)]


def _automatic(name: str) -> str:
    parse(name)
    return name


AutoAugmentName = Annotated[str, AfterValidator(_automatic)]
"""A name of automatic augmentation, such as ``rand-m9-mstd0.5-inc1``, ``trivial-augment`` or ``fixmatch``."""


class AugmentConfig(Section):
    """How training images are varied; drawn as a pure function of (seed, epoch, index)."""

    crop: NonNegativeInt = Field(
        0,
        le=1024,
        description="pad by this many pixels of zeros, at most the image's side, then crop back at random",
    )
    crop_padding: Literal["zeros", "reflect"] = Field(
        "zeros", description="crop: padded with zeros, or with the image mirrored at its border"
    )
    scale: tuple[PositiveFloat, PositiveFloat] | None = Field(
        None,
        description="random resized crop in place of crop: range of its part of the decoded image's area",
    )
    ratio: tuple[PositiveFloat, PositiveFloat] = Field(
        (3 / 4, 4 / 3), description="random resized crop: range of width / height"
    )
    interpolation: Literal["bilinear", "bicubic"] = Field(
        "bicubic", description="random resized crop: how it is resized, with antialiasing"
    )
    hflip: Probability = Field(0.0, description="probability of a left-right flip")
    vflip: Probability = Field(0.0, description="probability of an upside-down flip")
    rotate: NonNegativeFloat = Field(0.0, description="largest rotation in degrees")
    auto_augment: AutoAugmentName | None = Field(
        None,
        description="RandAugment in timm's notation (rand-m9-mstd0.5-inc1), trivial-augment, 3-augment or fixmatch",
    )
    color: NonNegativeFloat = Field(0.0, description="strength of brightness, contrast and saturation jitter")
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="colour jitter: largest turn of the hue, 1 being a whole turn"
    )
    color_prob: Probability = Field(1.0, description="probability of colour jitter")
    grey: Probability = Field(0.0, description="probability of taking the colour away")
    blur: Probability = Field(0.0, description="probability of a Gaussian blur")
    blur_sigma: tuple[BlurWidth, BlurWidth] = Field(
        (0.1, 2.0), description="blur: range of its standard deviation in pixels"
    )
    solarize: Probability = Field(0.0, description="probability of inverting values of 128 and above")
    erase: Probability = Field(0.0, description="probability of erasing a rectangle")
    erase_mode: Literal["black", "const", "rand", "pixel"] = Field(
        "black",
        description="erase: fill with black, or as timm: the mean colour, a random colour, one for each pixel",
    )
    erase_count: Annotated[int, Field(ge=1, le=16)] = Field(
        1, description="erase: most rectangles of an image"
    )
    erase_area: tuple[Probability, Probability] = Field(
        (0.02, 1 / 3), description="erase: range of the rectangles' part of the area"
    )
    erase_ratio: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.3, 1 / 0.3), description="erase: range of height / width"
    )
    repeats: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="views of a sample in an epoch's batches, which so have that many times fewer samples"
    )
    mixup: NonNegativeFloat = Field(0.0, description="timm's mixup alpha")
    cutmix: NonNegativeFloat = Field(0.0, description="timm's cutmix alpha")
    mixup_prob: Probability = Field(1.0, description="probability of mixup or cutmix")
    mixup_switch_prob: Probability = Field(0.5, description="probability of cutmix where both are on")
    mixup_mode: Literal["batch", "pair", "elem"] = Field(
        "batch", description="mixed alike: a whole batch, each pair of images, or no two images"
    )

    @model_validator(mode="after")
    def _one_crop(self) -> AugmentConfig:
        if self.scale is not None and self.crop:
            raise ValueError("scale asks for a random resized crop: set crop to 0, or leave scale out")
        for name, (low, high) in (
            ("scale", self.scale or (1.0, 1.0)),
            ("ratio", self.ratio),
            ("blur_sigma", self.blur_sigma),
            ("erase_area", self.erase_area),
            ("erase_ratio", self.erase_ratio),
        ):
            if low > high:
                raise ValueError(f"{name} is a range from {low:g} to {high:g}: give the smaller number first")
        if self.scale is not None and self.scale[1] > 1:
            raise ValueError("scale is a part of the area: at most 1")
        return self

    @model_serializer(mode="wrap")
    def _given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What was given: a recipe that ran with the data set's defaults for the rest runs so again."""
        return {name: value for name, value in dump(self).items() if name in self.model_fields_set}
