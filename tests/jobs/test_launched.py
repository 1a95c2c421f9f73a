"""Processes that torchrun or srun has started: recognised, and joined in one run."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kdzoo.errors import KdzooError
from kdzoo.jobs.train import make_fabric
from kdzoo.processes import Launch, launched, rank

from .runs import small

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "GROUP_RANK": "1",
    "GROUP_WORLD_SIZE": "2",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29500",
}
BATCH = {
    "SLURM_JOB_ID": "4711",
    "SLURM_NTASKS": "3",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NODELIST": "gnode[07-08]",
}
"""What a batch script sees, which is one process."""
SRUN = {
    **BATCH,
    "SLURM_PROCID": "2",
    "SLURM_NODEID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
    "SLURM_STEP_NODELIST": "gnode[07-08]",
}


def test_torchrun() -> None:
    assert launched(TORCHRUN) == Launch("torchrun", 5, 8, 1, 4, 1, 2, "node0", 29500)
    least = {name: TORCHRUN[name] for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}
    assert launched({**least, "RANK": "1", "WORLD_SIZE": "2"}) == Launch(
        "torchrun", 1, 2, 0, 2, 0, 1, "node0", 29500
    )
    assert rank(TORCHRUN) == 5


def test_srun() -> None:
    assert launched(SRUN) == Launch("srun", 2, 3, 0, 1, 1, 2, "gnode07", 20000 + 31 * 4711 % 10000)
    assert launched({**SRUN, "MASTER_ADDR": "here", "MASTER_PORT": "7"}) == Launch(
        "srun", 2, 3, 0, 1, 1, 2, "here", 7
    )
    assert rank(SRUN) == 2


@pytest.mark.parametrize(
    "alone", [{}, BATCH, {"RANK": "0", "WORLD_SIZE": "1"}, {**SRUN, "SLURM_STEP_NUM_TASKS": "1"}]
)
def test_alone(alone: Mapping[str, str]) -> None:
    assert launched(alone) is None
    assert rank(alone) == 0


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("a", "a"),
        ("a1,b2", "a1"),
        ("a[7-9,12],b1", "a7"),
        ("a[3,5]", "a3"),
        ("rack1-[01-02]-x,b", "rack1-01-x"),
    ],
)
def test_the_first_machine(nodes: str, first: str) -> None:
    found = launched({**SRUN, "SLURM_STEP_NODELIST": nodes})
    assert found is not None
    assert found.address == first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SLURM_STEP_TASKS_PER_NODE": "many"}, "SLURM_STEP_TASKS_PER_NODE 'many': expected such as"),
        ({"SLURM_NODEID": "7"}, "no tasks for the node SLURM_NODEID = 7"),
        ({"SLURM_PROCID": "x"}, "SLURM_PROCID 'x': not a number"),
        ({"SLURM_STEP_NODELIST": ""}, "one of several processes, but SLURM_STEP_NODELIST is not set"),
        ({"SLURM_STEP_NODELIST": "[1-2]"}, "names no machine"),
    ],
)
def test_variables_that_make_no_sense(change: Mapping[str, str], said: str) -> None:
    with pytest.raises(KdzooError, match=re.escape(said)):
        launched({**SRUN, **change})
    assert rank({**SRUN, **change}) == 0 or "SLURM_PROCID" not in change


def arguments(output: Path) -> list[str]:
    options = (
        "distill -m kd --teacher test_resnet --student test_efficientnet --epochs 1 --teacher-epochs 1 -b 8"
    )
    few = "--train-per-class 4 --test-per-class 2 --device cpu --set observers=[console]"
    return ["-m", "kdzoo", *options.split(), *few.split(), "--output", str(output)]


@pytest.fixture
def alone() -> dict[str, str]:
    """The environment without what may have started these tests."""
    foreign = ("SLURM_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def digest(folder: Path) -> str:
    told = json.loads((folder / "provenance.json").read_text())
    assert told["processes"] == 2
    found: str = told["student_hash"]
    return found


@pytest.mark.slow
def test_two_processes_are_one_run_whoever_starts_them(tmp_path: Path, alone: dict[str, str]) -> None:
    one = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    by_torchrun = subprocess.run(
        [*one, *arguments(tmp_path / "torchrun")], env=alone, capture_output=True, text=True, check=True
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_STEP_NODELIST": "localhost"}
    common = {**alone, **BATCH, **step, "MASTER_PORT": port}
    tasks = [
        subprocess.Popen(
            [sys.executable, *arguments(tmp_path / "srun")],
            env={**common, "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for task in (0, 1)
    ]
    said = [task.communicate(timeout=300) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert digest(tmp_path / "srun") == digest(tmp_path / "torchrun")
    for shown in (by_torchrun.stderr, said[0][1]):
        assert shown.count("2 steps of 16 images (2 processes of 8) an epoch") == 1
        assert shown.count("next:") == 1
    assert said[1] == ("", ""), "one of them speaks"


def test_several_processes_and_devices_are_refused() -> None:
    with pytest.raises(
        KdzooError, match="torchrun has started 8 processes, and --devices 2 would start more"
    ):
        make_fabric(small("baseline"), accelerator="cpu", devices=2, launch=launched(TORCHRUN))


def test_bad_input_is_told_with_the_number_of_the_process(alone: dict[str, str]) -> None:
    command = [sys.executable, "-m", "kdzoo", "show", "no-such-method"]
    done = subprocess.run(command, env={**alone, **TORCHRUN}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("kdzoo: process 5: unknown ")
