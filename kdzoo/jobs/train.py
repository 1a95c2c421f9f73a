"""From a recipe to a finished folder: the only way to train."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from kdzoo.api.observer import Job
from kdzoo.engine.listeners import Listener
from kdzoo.errors import KdzooError
from kdzoo.jobs.conduct import conduct
from kdzoo.jobs.freed import keep_freed_memory
from kdzoo.jobs.launched import Launched
from kdzoo.jobs.plan import Planned
from kdzoo.jobs.resources import Resources
from kdzoo.processes import Launch
from kdzoo.recipe.model import Recipe
from kdzoo.stopping import Stop
from kdzoo.zoo import Zoo


def make_fabric(
    recipe: Recipe, *, accelerator: str = "auto", devices: int = 1, launch: Launch | None = None
) -> Fabric:
    """Device, precision and processes.

    Args:
        recipe: whose precision it is.
        accelerator: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        devices: processes of this machine; the others are started, by the same command.
        launch: the processes that are there already, which join in place of any that would be started.

    Raises:
        KdzooError: ``devices`` beside ``launch``, or fewer GPUs than processes of this machine.
    """
    # Named, for Fabric would take any process in a job of Slurm for one that srun started.
    environment: ClusterEnvironment = LightningEnvironment()
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would say its number
    nodes, strategy = 1, "ddp" if devices > 1 or launch is not None else "auto"
    if launch is not None:
        if devices > 1:
            raise KdzooError(
                f"{launch.by} has started {launch.world} processes, and --devices {devices} would start more: "
                "leave it out"
            )
        started = Launched(launch, accelerator)
        environment, devices, nodes = started, started.devices, launch.nodes
        os.environ["RANK"] = str(launch.rank)  # as torchrun has it: who speaks for all when a signal comes
    elif os.environ.get("LOCAL_RANK", "0") != "0":
        threading.Thread(target=_die_with_parent, args=[os.getppid()], daemon=True).start()
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        precision=recipe.precision,
        plugins=environment,
    )
    fabric.launch()
    if fabric.device.type == "cpu":
        keep_freed_memory()
    return fabric


def _die_with_parent(parent: int) -> None:
    """End this process when its parent has died; otherwise it would wait for it for half an hour."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def train(
    recipe: Recipe,
    folder: Path,
    *,
    zoo: Zoo,
    job: Job | None = None,
    resume: bool = False,
    fabric: Fabric | None = None,
    listeners: Sequence[Listener] = (),
    stop: Stop | None = None,
    tests: bool = True,
    notes: Sequence[str] = (),
) -> Mapping[str, Any]:
    """Run ``recipe`` to its end in ``folder`` and return its result, the last row of ``metrics.jsonl``.

    Args:
        recipe: a resolved recipe.
        folder: where everything is written.
        zoo: where components are found.
        job: what the run is for.
        resume: go on from the folder's checkpoint if it has one; a finished run returns its result at once.
        fabric: device and processes; default: one process on the best device.
        listeners: are told what happens in the run, not in that of a teacher trained for it.
        stop: ask it to save and stop; it listens to signals only where its caller makes it.
        tests: whether the test split may be read; without, nothing is measured but on the validation split.
        notes: warnings to give at the start.

    Raises:
        Differs: the folder holds another run than this recipe's; names what differs.
        KdzooError: bad input, or a loss that is not finite; the folder keeps the last good checkpoint.
        Stopped: it was asked to; the folder's checkpoint is that of the last step.
    """
    resources = Resources(zoo, fabric or make_fabric(recipe), stop=stop or Stop())
    planned = Planned(recipe, folder, job or Job(name=folder.name), tests=tests)
    return conduct(planned, resources, resume=resume, listeners=listeners, notes=notes)
