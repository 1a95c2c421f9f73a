"""Where the images come from, and how they are split and cut down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    PositiveInt,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.section import Probability, Section, Side

ModalityName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]

AUTO = 0
"""A batch size that is to be found when the run begins."""


def _or_auto(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    return AUTO if value == "auto" else check(value)


BatchSize = Annotated[
    int, Field(gt=0, le=2**31), WrapValidator(_or_auto), PlainSerializer(lambda size: size or "auto")
]


class DataConfig(Section):
    """Where the images come from and how they are split, cut down and varied."""

    dataset: str = Field(
        "digits",
        description="digits (embedded), folder (data_dir), a plugin's, or any name that timm.data.create_dataset "
        "reads",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of a plugin's data set"
    )
    data_dir: Path | None = Field(
        None, description="the image folder: train/, val/, test/ with class folders, or class folders alone"
    )
    class_depth: PositiveInt = Field(
        1, description="so many folders below a split name the class of an image"
    )
    unlabelled: bool = Field(
        False,
        description="take every picture of the image folder, in whatever sub-folder, as one without a label, for "
        "methods that need none",
    )
    allow_missing: bool = Field(False, description="accept classes that have no image in some split")
    labels_file: Path | None = Field(
        None,
        description="a CSV or parquet file with the columns path (below data_dir), label and perhaps split (train, "
        "val or test), in place of class folders",
    )
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="part of each class that is the test split where the images come in no splits"
    )
    img_size: Side | None = Field(
        None,
        description="side in pixels to decode to; default: the images' own if they are all alike, else 224",
    )
    crop_pct: Annotated[float, Field(ge=0.1, le=1)] | None = Field(
        None,
        description="evaluation: the shorter side is resized to img_size / crop_pct, then the centre is cut out; "
        "default: the student's own in timm, or 1 for tiny images of one size",
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"] | None = Field(
        None, description="evaluation: how images are resized; default: the student's own in timm"
    )
    canvas: Annotated[float, Field(ge=1, le=8)] = Field(
        1.15,
        description="random resized crops of photographs: side of the square in which the whole image is kept "
        "decoded, as a multiple of img_size",
    )
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="part of train used for validation where no validation split exists; 0 = none"
    )
    split_seed: NonNegativeInt = Field(0, description="seeds the validation split and the subsets below")
    train_per_class: PositiveInt | None = Field(None, description="use so many training images of each class")
    test_per_class: PositiveInt | None = Field(None, description="use so many test images of each class")
    labels_per_class: NonNegativeInt | None = Field(
        None, description="keep so many training labels of each class and withhold the rest"
    )
    sampling: Literal["balanced"] | None = Field(
        None,
        description="balanced: an epoch is as long as without, and has each class equally often; default: each "
        "training image once",
    )
    class_weights: Literal["balanced"] | None = Field(
        None,
        description="balanced: weigh the task loss of each class by the inverse of its number of labelled training "
        "images, with mean 1 over the images",
    )
    withhold_train: bool = Field(
        False, description="open no training image, for methods that work without data; train/ may be missing"
    )
    batch_size: BatchSize = Field(
        128,
        description="samples per step and process, or auto: the most that fit into memory; where it is not given and "
        "an image folder has few images, a power of two from 16 that makes 20 steps an epoch",
    )
    drop_last: bool = Field(
        True, description="leave out the rest of an epoch that fills no batch; false: it is a smaller batch"
    )
    workers: NonNegativeInt | None = Field(
        None, description="decoding threads, or processes where the set streams; default: one per core"
    )
    cache_gb: NonNegativeFloat = Field(
        4.0, description="sets that decode to at most this are cached, others stream"
    )
    views: PositiveInt | None = Field(
        None,
        description="make the views of so many epochs; the epochs after them repeat these in new orders. Default: "
        "new views in every epoch",
    )
    bad_images: Probability = Field(0.01, description="largest part of unreadable images that is skipped")
    augment: AugmentConfig | None = Field(
        None, description="default: what suits the data set, for each key not given; {} varies nothing"
    )
    computed: dict[ModalityName, Literal["edges", "grey", "heat", "low-resolution"]] = Field(
        default_factory=dict,
        description="further modalities, computed from the image: name -> edges, grey, heat or low-resolution",
    )
    paired: dict[ModalityName, Path] = Field(
        default_factory=dict,
        description="further modalities: name -> an image folder with the files of data_dir, by name",
    )

    @model_validator(mode="before")
    @classmethod
    def _folder(cls, value: Any) -> Any:
        """A folder without the name of a data set is an image folder."""
        if isinstance(value, dict) and value.get("data_dir") is not None and "dataset" not in value:
            return {**value, "dataset": "folder"}
        return value

    @model_validator(mode="after")
    def _distinct(self) -> DataConfig:
        twice = {"image", *self.computed}.intersection(self.paired) | {"image"}.intersection(self.computed)
        if twice:
            raise ValueError(f"the modality {sorted(twice)[0]!r} is there already: choose another name")
        return self
