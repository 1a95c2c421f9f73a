"""What a job of a cluster asks for: ``--cluster-config slurm.yaml``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from kdzoo.errors import Fault, KdzooError, shortened
from kdzoo.files import absolute
from kdzoo.recipe.section import Section
from kdzoo.yaml_text import read_yaml

_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def minutes(value: Any) -> Any:
    """Minutes, rounded up, of a time as Slurm writes it: ``90``, ``90:00``, ``1:30:00``, ``2-12``, ``2-12:30:00``."""
    if not isinstance(value, str):
        return value
    found = _TIME.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"{shortened(value)} is no time such as 90, 1:30:00 or 2-12:00:00")
    days, *parts = found.groups()
    given = [int(part) for part in parts if part is not None]
    if days is not None:  # D-HH[:MM[:SS]]
        hours, minute, second = (*given, 0, 0)[:3]
    elif len(given) == 3:
        hours, minute, second = given
    else:  # MM[:SS]
        hours, minute, second = 0, *(*given, 0)[:2]
    whole = ((int(days or 0) * 24 + hours) * 60 + minute) * 60 + second
    return -(-whole // 60)


Minutes = Annotated[PositiveInt, BeforeValidator(minutes)]


class Resources(Section):
    """What one job asks for. What is not given is the cluster's own default."""

    partition: str | None = Field(None, description="the partition")
    account: str | None = Field(None, description="the account that is charged")
    qos: str | None = Field(None, description="the quality of service")
    constraint: str | None = Field(None, description="features of the node")
    gres: str | None = Field(None, description="generic resources, such as gpu:a100:1")
    gpus: NonNegativeInt = Field(0, description="GPUs of the job")
    cpus: PositiveInt = Field(1, description="cores of the job, which its runs share")
    memory: PositiveFloat | None = Field(None, description="memory in GB")
    time: Minutes = Field(240, description="time limit: minutes, or text as Slurm has it; longer runs go on")
    setup: tuple[str, ...] = Field((), description="lines of shell before the job, such as module load cuda")
    sbatch: dict[str, str | int | bool] = Field(
        default_factory=dict, description="further options of sbatch, such as {mail-type: FAIL}"
    )


class ClusterConfig(Resources):
    """The jobs of a suite."""

    parallel: PositiveInt | None = Field(None, description="jobs at a time at most; --jobs comes first")
    warn: PositiveInt = Field(
        120, description="seconds before the time limit at which runs save and are requeued"
    )
    array: PositiveInt = Field(1000, description="jobs in one array at most, less than Slurm's MaxArraySize")
    coordinator: Resources = Field(
        Resources(time=60), description="what the small job asks for that submits the next jobs"
    )


def read_config(path: Path | None) -> ClusterConfig:
    """The configuration in a YAML file; the defaults without one.

    Raises:
        KdzooError: the file cannot be read, or a key or a value in it is not one.
    """
    if path is None:
        return ClusterConfig()
    try:
        return ClusterConfig.model_validate(read_yaml(absolute(path)))
    except ValidationError as error:
        raise KdzooError(f"{path}: {Fault.first(error)}") from None
