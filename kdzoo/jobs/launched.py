"""Processes that torchrun or srun has started, as Fabric wants to be told of them."""

from __future__ import annotations

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment

from kdzoo.errors import KdzooError
from kdzoo.processes import Launch


class Launched(ClusterEnvironment):
    """The processes of a launch.

    Args:
        launch: how they were started.
        accelerator: the devices that they use.

    Attributes:
        devices: how many devices of this machine this process is to know of.

    Raises:
        KdzooError: the machine has fewer GPUs than processes.
    """

    def __init__(self, launch: Launch, accelerator: str) -> None:
        super().__init__()
        self._launch = launch
        seen = 0 if accelerator == "cpu" else torch.cuda.device_count()
        # srun --gpus-per-task=1 shows each process a GPU of its own, as number 0
        self._own = seen == 1 < launch.local_world
        if 1 < seen < launch.local_world:
            raise KdzooError(f"{launch.by}: {launch.local_world} processes on a machine of {seen} GPUs")
        self.devices = 1 if self._own else launch.local_world

    @property
    def creates_processes_externally(self) -> bool:
        """They are there."""
        return True

    @property
    def main_address(self) -> str:
        """The address of process 0."""
        return self._launch.address

    @property
    def main_port(self) -> int:
        """The port of process 0."""
        return self._launch.port

    @staticmethod
    def detect() -> bool:
        """It is named, never detected."""
        return False

    def world_size(self) -> int:
        """How many processes there are."""
        return self._launch.world

    def set_world_size(self, size: int) -> None:
        """It is known."""

    def global_rank(self) -> int:
        """The number of this process among all."""
        return self._launch.rank

    def set_global_rank(self, rank: int) -> None:
        """It is known."""

    def local_rank(self) -> int:
        """The number of this process's device among those that it knows of."""
        return 0 if self._own else self._launch.local_rank

    def node_rank(self) -> int:
        """The number of this machine."""
        return self._launch.node
