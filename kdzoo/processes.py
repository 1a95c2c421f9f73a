"""The processes of a run that somebody else has started: torchrun, or Slurm's srun."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kdzoo.errors import KdzooError, shortened


@dataclass(frozen=True)
class Launch:
    """This process as one of several.

    Attributes:
        by: what started them.
        rank: its number among all.
        world: how many there are.
        local_rank: its number on its machine.
        local_world: how many there are on its machine.
        node: the number of the machine.
        nodes: how many machines there are.
        address: of process 0.
        port: on which process 0 listens.
    """

    by: str
    rank: int
    world: int
    local_rank: int
    local_world: int
    node: int
    nodes: int
    address: str
    port: int


def launched(environ: Mapping[str, str] = os.environ) -> Launch | None:
    """How this process was started, as one of several; None if it is alone.

    Recognised are torchrun (``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR``, ...) and the steps of ``srun`` with more than
    one task. A batch script of Slurm is alone, however many tasks its job has.

    Raises:
        KdzooError: a variable is missing, or is no number.
    """
    if "RANK" in environ and _number(environ, "WORLD_SIZE", 1) > 1:
        return _by_torchrun(environ)
    if _number(environ, "SLURM_STEP_NUM_TASKS", 1) > 1:
        return _by_srun(environ)
    return None


def rank(environ: Mapping[str, str] = os.environ) -> int:
    """The number of this process among those of its run, whoever started them."""
    try:
        found = launched(environ)
        return _number(environ, "LOCAL_RANK", 0) if found is None else found.rank
    except KdzooError:
        return 0


def _by_torchrun(environ: Mapping[str, str]) -> Launch:
    world, local_rank = _number(environ, "WORLD_SIZE"), _number(environ, "LOCAL_RANK", 0)
    local = _number(environ, "LOCAL_WORLD_SIZE", world)
    return Launch(
        by="torchrun",
        rank=_number(environ, "RANK"),
        world=world,
        local_rank=local_rank,
        local_world=local,
        node=_number(environ, "GROUP_RANK", _number(environ, "RANK") // local),
        nodes=_number(environ, "GROUP_WORLD_SIZE", -(-world // local)),
        address=_text(environ, "MASTER_ADDR"),
        port=_number(environ, "MASTER_PORT"),
    )


def _by_srun(environ: Mapping[str, str]) -> Launch:
    tasks, node = _tasks(_text(environ, "SLURM_STEP_TASKS_PER_NODE")), _number(environ, "SLURM_NODEID")
    if node >= len(tasks):
        raise KdzooError(f"SLURM_STEP_TASKS_PER_NODE has no tasks for the node SLURM_NODEID = {node}")
    # Of each step its own: several can run on a node at a time. Below the ports that systems give away themselves.
    port = 20000 + (31 * _number(environ, "SLURM_JOB_ID") + _number(environ, "SLURM_STEP_ID", 0)) % 10000
    return Launch(
        by="srun",
        rank=_number(environ, "SLURM_PROCID"),
        world=_number(environ, "SLURM_STEP_NUM_TASKS"),
        local_rank=_number(environ, "SLURM_LOCALID"),
        local_world=tasks[node],
        node=node,
        nodes=len(tasks),
        address=environ.get("MASTER_ADDR") or _first(_text(environ, "SLURM_STEP_NODELIST")),
        port=_number(environ, "MASTER_PORT", port),
    )


def _tasks(text: str) -> list[int]:
    """The tasks of each node: ``2(x3),1`` is 2, 2, 2, 1."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:\(x(\d{1,6})\))?", part)
        if match is None:
            raise KdzooError(f"SLURM_STEP_TASKS_PER_NODE {shortened(text)}: expected such as 2(x3),1")
        found += [int(match[1])] * int(match[2] or 1)
    return found


def _first(nodes: str) -> str:
    """The first machine of Slurm's list: ``a7`` of ``a[7-9,12],b1``, ``a07`` of ``a[07-09]``."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,\[]*))?", nodes)
    if match is None:
        raise KdzooError(f"SLURM_STEP_NODELIST {shortened(nodes)}: names no machine")
    return "".join(part or "" for part in match.groups())


def _text(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise KdzooError(f"one of several processes, but {name} is not set")
    return environ[name]


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    if default is not None and not environ.get(name):
        return default
    text = _text(environ, name)
    if not re.fullmatch(r"\d{1,12}", text):
        raise KdzooError(f"{name} {shortened(text)}: not a number")
    return int(text)
