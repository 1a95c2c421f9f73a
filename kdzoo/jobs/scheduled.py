"""The scheduler's job that this process is a part of. Light on purpose: importing this does not import torch."""

from __future__ import annotations

import os

_JOBS = {"SLURM_JOB_ID": "slurm", "PBS_JOBID": "pbs", "LSB_JOBID": "lsf", "SUBMITIT_LOCAL_JOB_ID": "local"}
"""Environment variables in which schedulers name the job."""


def scheduled_job() -> str | None:
    """The job with its scheduler, such as ``slurm 17_3``; None outside of one."""
    if (array := os.environ.get("SLURM_ARRAY_JOB_ID")) is not None:
        return f"slurm {array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    return next(
        (f"{system} {os.environ[name]}" for name, system in _JOBS.items() if name in os.environ), None
    )
