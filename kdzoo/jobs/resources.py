"""The shared resources of a plan's jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lightning_fabric import Fabric

from kdzoo.backbone.evaluation import evaluation_of
from kdzoo.data.dataset import DataSet
from kdzoo.data.decode import Progress
from kdzoo.data.once import Once
from kdzoo.data.open import open_data
from kdzoo.recipe.model import Recipe
from kdzoo.stopping import Stop
from kdzoo.zoo import Zoo


@dataclass(frozen=True)
class Resources:
    """Resources shared by jobs that run one after the other.

    Attributes:
        zoo: the available components.
        fabric: device and processes.
        once: the samples that one of them has found and decoded.
        stop: the request to save and stop.
    """

    zoo: Zoo
    fabric: Fabric
    once: Once = field(default_factory=Once)
    stop: Stop = field(default_factory=Stop)

    @property
    def main(self) -> bool:
        """Whether this is the main process, which writes."""
        return bool(self.fabric.global_rank == 0)

    def open(
        self,
        recipe: Recipe,
        progress: Progress | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> DataSet:
        """The data of a recipe; parts shared with another job's data are found and decoded only once."""
        return open_data(
            recipe.data,
            seed=recipe.seed,
            device=self.fabric.device,
            channels_last=recipe.channels_last,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
            progress=progress,
            warn=warn,
            once=self.once,
            zoo=self.zoo,
            evaluation=evaluation_of(recipe.roles["student"].model, self.zoo),
        )
