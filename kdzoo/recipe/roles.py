"""The networks by role."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.optim import OptimConfig, OwnOptimConfig
from kdzoo.recipe.section import Probability, Section, Side

RoleName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=60)]


def _numbers(value: Any) -> Any:
    """``0.5``, or ``0.5,0.4,0.3`` as on a command line, as several."""
    if isinstance(value, str):
        return list(value.replace(",", " ").split())
    return [value] if isinstance(value, int | float) else value


Mean = Annotated[tuple[float, ...], Field(min_length=1), BeforeValidator(_numbers)]
Std = Annotated[tuple[PositiveFloat, ...], Field(min_length=1), BeforeValidator(_numbers)]
"""A number for each channel, or one for all."""


class RoleConfig(Section):
    """The timm network that plays a role, and where its weights come from."""

    model: str = Field(description="a timm model name, or local-dir:FOLDER, or hf-hub:ID")
    pretrained: bool = Field(False, description="start from timm's pretrained weights (downloads them)")
    checkpoint: Path | None = Field(
        None,
        description="weights for the run's own classes: .safetensors, .pth, or an exported student folder; a teacher "
        "without them is trained first",
    )
    weights: str | None = Field(
        None,
        description="start from these weights, of whatever classes: pretrained (timm's), a file, a folder in timm's "
        "layout, local-dir:FOLDER or hf-hub:ID",
    )
    train: Literal["never", "head", "full", "auto"] | None = Field(
        None,
        description="what is trained for the run's classes: nothing, a new linear head, the whole network, or, "
        "with auto, as little as the method needs; default: auto for a teacher with weights, else full",
    )
    head: bool | None = Field(
        None,
        description="whether it has a classifier; default: yes, but for a teacher whose classes do not fit and whose "
        "logits the method does not read",
    )
    label_names: tuple[str, ...] | None = Field(
        None,
        description="class names of its weights in the order of the logits, where their file does not know them",
    )
    mean: Mean | None = Field(
        None,
        description="subtracted from images in [0, 1]; default: what the weights' config.json or timm says",
    )
    std: Std | None = Field(None, description="divides after that; default: as for mean")
    shard: bool = Field(
        False,
        description="keep a frozen teacher in parts, one in each process, where it does not fit on a device (FSDP)",
    )
    trust: bool = Field(False, description="use a teacher whose accuracy on validation images is near chance")
    img_size: Side | None = Field(
        None,
        description="side in pixels that this network sees; default: the data's, or the model's own if fixed or "
        "named by a local-dir: folder",
    )
    modality: str = Field("image", description="which of the data's modalities this network reads")
    drop_path: Probability | None = Field(None, description="rate of stochastic depth")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="further arguments of timm.create_model")
    epochs: PositiveInt | None = Field(
        None, description="epochs of a teacher that is trained here; default: the recipe's"
    )
    seed: NonNegativeInt = Field(0, description="seed of a teacher that is trained here, whatever the run's")
    lr: PositiveFloat | None = Field(
        None, description="learning rate of a teacher that is trained here; default: the recipe's"
    )
    optim: OwnOptimConfig | None = Field(
        None,
        description="optimizer and schedule of a teacher that is trained here: the keys that differ from optim",
    )
    augment: AugmentConfig | None = Field(
        None,
        description="how images are varied for a teacher that is trained here; default: as data.augment says",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_origin(self) -> RoleConfig:
        if self.weights is not None and (self.checkpoint is not None or self.pretrained):
            raise ValueError("weights takes the place of checkpoint and pretrained: give one of them")
        return self

    @model_validator(mode="after")
    def _one_rate(self) -> RoleConfig:
        if self.lr is not None and self.optim is not None and {"lr", "lr_base"} & self.optim.model_fields_set:
            raise ValueError("lr and optim set the learning rate both: leave one out")
        return self

    def own_optim(self, common: OptimConfig) -> OptimConfig:
        """The settings of a teacher that is trained here: its own before the ``common`` ones."""
        own = (
            {}
            if self.optim is None
            else {name: getattr(self.optim, name) for name in self.optim.model_fields_set}
        )
        if self.lr is not None:
            own["lr"] = self.lr
        if "lr" in own:
            own.setdefault("lr_base", None)
        return common.model_copy(update=own)
