"""The recipe: everything that determines a run. It dumps to YAML, and that YAML runs again as it is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, field_validator

from kdzoo.recipe.component import OBSERVERS, Component, ComponentKind, Knowledges, Observers
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.early_stopping import EarlyStoppingConfig
from kdzoo.recipe.ema import EmaConfig
from kdzoo.recipe.optim import OptimConfig
from kdzoo.recipe.roles import RoleConfig, RoleName
from kdzoo.recipe.section import Name, Probability, Section


class Recipe(Section):
    """Everything that determines a run."""

    kdzoo: str = Field(description="the version of kdzoo that resolved this recipe")
    method: Name | None = Field(None, description="the registry's name of what this began as")
    knowledge: Knowledges = Field((), description="what is taught: one component, or a list with weights")
    scheme: Component = Field(description="who teaches whom")
    algorithm: Component = Field(description="how training is run")
    roles: dict[RoleName, RoleConfig] = Field(description="the networks, by role: student, teacher, ...")
    data: DataConfig = Field(DataConfig(), description="the images")
    optim: OptimConfig = Field(OptimConfig(), description="optimizer and schedule")
    model_ema: EmaConfig = Field(EmaConfig(), description="moving average of the students' weights")
    early_stopping: EarlyStoppingConfig = Field(EarlyStoppingConfig(), description="when a phase ends early")
    epochs: PositiveInt = Field(20, description="epochs of the student")
    seed: NonNegativeInt = Field(0, description="seed of the run's random numbers")
    smoothing: Probability = Field(0.0, description="label smoothing of the task loss")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="autocast to bfloat16 with bf16-mixed; losses stay in float32"
    )
    channels_last: bool = Field(True, description="channels-last memory format of images and networks")
    compile: bool = Field(False, description="compile every backbone with torch.compile")
    deterministic: bool = Field(False, description="deterministic kernels on a GPU (always so on a CPU)")
    eval_every: PositiveInt = Field(1, description="epochs between validations")
    checkpoint_seconds: NonNegativeFloat = Field(60.0, description="least time between two checkpoints")
    store_gb: NonNegativeFloat = Field(
        1.0,
        description="GB of a frozen teacher's answers that are kept for later runs with the same views; 0 = none",
    )
    observers: Observers = Field(
        tuple(Component(name=name) for name in OBSERVERS),
        description="who records the run, by name, or with settings: {name: NAME, KEY: VALUE}",
    )

    @property
    def components(self) -> list[tuple[ComponentKind, Component]]:
        """Every component that the recipe names, with its kind."""
        taught: list[tuple[ComponentKind, Component]] = [("knowledge", one) for one in self.knowledge]
        return [*taught, ("scheme", self.scheme), ("algorithm", self.algorithm)]

    @field_validator("roles")
    @classmethod
    def _has_student(cls, roles: dict[str, RoleConfig]) -> dict[str, RoleConfig]:
        if "student" not in roles:
            raise ValueError("a recipe needs the role 'student': pass --student MODEL")
        for name, role in roles.items():
            if not name.startswith("teacher") and (role.optim is not None or role.augment is not None):
                raise ValueError(
                    f"{name}: optim and augment are those of a teacher that is trained here; other roles have the "
                    "recipe's, optim and data.augment"
                )
        return roles
