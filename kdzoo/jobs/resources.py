"""With what the jobs of one plan are done."""

from __future__ import annotations

from dataclasses import dataclass, field

from lightning_fabric import Fabric

from kdzoo.data.dataset import DataSet
from kdzoo.data.decode import Progress
from kdzoo.data.once import Once
from kdzoo.data.open import open_data
from kdzoo.recipe.model import Recipe
from kdzoo.stopping import Stop
from kdzoo.zoo import Zoo


@dataclass(frozen=True)
class Resources:
    """What jobs that are done one after the other share.

    Attributes:
        zoo: where components are found.
        fabric: device and processes.
        once: the samples that were found and decoded for one of them.
        stop: asks them to save and stop.
    """

    zoo: Zoo
    fabric: Fabric
    once: Once = field(default_factory=Once)
    stop: Stop = field(default_factory=Stop)

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return bool(self.fabric.global_rank == 0)

    def open(self, recipe: Recipe, progress: Progress | None = None) -> DataSet:
        """The data of a recipe; what it shares with another job's data is neither found nor decoded anew."""
        return open_data(
            recipe.data,
            seed=recipe.seed,
            device=self.fabric.device,
            channels_last=recipe.channels_last,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
            progress=progress,
            once=self.once,
            zoo=self.zoo,
        )
