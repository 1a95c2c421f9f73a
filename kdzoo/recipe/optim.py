"""Optimizer and schedule."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from kdzoo.recipe.section import Probability, Section


class OptimConfig(Section):
    """Optimizer and schedule of one role; names and meanings are timm's."""

    opt: str = Field("adamw", description="a timm optimizer name")
    lr: PositiveFloat = Field(2e-3, description="peak learning rate")
    lr_base: PositiveFloat | None = Field(
        None, description="sets lr by the images of a step in all processes: lr_base x images / lr_base_size"
    )
    lr_base_size: PositiveInt = Field(256, description="images of a step for which lr_base holds")
    lr_base_scale: Literal["linear", "sqrt"] | None = Field(
        None, description="how lr_base follows the images; default: sqrt for Adam and its kin, else linear"
    )
    weight_decay: NonNegativeFloat = Field(0.05, description="weight decay; see filter_bias_and_bn")
    filter_bias_and_bn: bool = Field(
        True,
        description="biases and norms (parameters of one dimension) do not decay; false: every parameter does",
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="learning rate of each layer of a timm network as a part of that of the layer above; heads and "
        "connectors have the whole",
    )
    momentum: Probability = Field(0.9, description="momentum, where the optimizer has one")
    opt_kwargs: dict[str, Any] = Field(default_factory=dict, description="further arguments of the optimizer")
    sched: Literal["cosine", "tanh", "poly", "step", "multistep", "wsd", "constant", "none"] = Field(
        "cosine", description="a timm schedule, read at every step of a phase"
    )
    warmup_epochs: NonNegativeFloat = Field(
        1.0, description="epochs of linear warm-up from warmup_lr; at most half a phase"
    )
    warmup_lr: NonNegativeFloat = Field(1e-5, description="learning rate at which the warm-up begins")
    min_lr: NonNegativeFloat = Field(0.0, description="learning rate at which the cosine ends")
    decay_epochs: tuple[PositiveFloat, ...] = Field(
        (30.0,), min_length=1, description="step: period; multistep: milestones"
    )
    decay_rate: PositiveFloat = Field(0.1, description="step and multistep: factor")
    clip_grad: PositiveFloat | None = Field(None, description="largest gradient norm of the role")
    grad_accum_steps: PositiveInt = Field(
        1,
        description="steps whose gradients are averaged for one update; an epoch's last update may have fewer",
    )


class OwnOptimConfig(OptimConfig):
    """The keys of :class:`OptimConfig` in which a teacher's training differs; the others are the recipe's."""

    @model_serializer(mode="wrap")
    def _given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if name in self.model_fields_set}
