"""For gpu.py: does every component and every method hold on this device?"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from kdzoo.data.open import open_data
from kdzoo.jobs.train import make_fabric, train
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Registry
from kdzoo.testing import Subject, outcomes, subjects_of
from kdzoo.zoo import Zoo
from kdzoo.zoo.zoo import HOOKS

CHECKS = ("wait", "half", "seed", "resume", "processes")
"""The checks of the conformance kit that a device can change; ``processes`` runs two on the CPU."""

CLOSE = 1e-3
"""The largest difference of logits, relative to the largest logit, that rounding in another order makes."""


@cache
def installed() -> tuple[Zoo, Registry]:
    """The zoo and its registry, once for each process."""
    zoo = Zoo()
    return zoo, load_registry(zoo)


def components() -> list[str]:
    """``kind:name`` of every component that the kit examines."""
    zoo, registry = installed()
    every = {
        one.plugin.distribution for kind in HOOKS for each in zoo.components(kind).values() for one in each
    }
    return [
        f"{one.found.kind}:{one.found.name}"
        for one in subjects_of(zoo, registry, *sorted(every))
        if _runs(one)
    ]


def methods() -> list[str]:
    """Every method of the registry whose packages are installed."""
    zoo, registry = installed()
    return [name for name, method in registry.methods.items() if zoo.has(*method.packages)]


def checked(name: str, device: str) -> dict[str, Any]:
    """The outcome of each check of the component ``kind:name``; the kit takes the GPU if there is one."""
    zoo, registry = installed()
    kind, _, own = name.partition(":")
    subject = next(one for one in subjects_of(zoo, registry, own) if one.found.kind == kind)
    with tempfile.TemporaryDirectory() as place:
        subject = subject.with_settings(**_needed(own, Path(place)))
        found = {
            one.check.name: [f"{each.what} ({each.where})" for each in one.findings] or one.state
            for one in outcomes(subject, only=CHECKS)
        }
    wrong = [
        f"{check}: {each}"
        for check, several in found.items()
        if isinstance(several, list)
        for each in several
    ]
    return {"checks": len(found), "wrong": wrong}


def ran(name: str, device: str) -> dict[str, Any]:
    """A method for a few steps, and whether its exported student gives on the device what it gives on the CPU."""
    zoo, registry = installed()
    method = registry.methods[name]
    found = zoo.find("algorithm", method.algorithm.name)
    with tempfile.TemporaryDirectory() as place:
        needed = _needed(method.scheme.name, Path(place))
        recipe = Subject(found, zoo, registry, name, needed).recipe()
        fabric = make_fabric(recipe, accelerator=device)
        result = train(recipe, Path(place) / "run", zoo=zoo, fabric=fabric)
        return {"seconds": result["seconds"], **_export(Path(place) / "run" / "student", fabric.device)}


def _export(folder: Path, device: torch.device) -> dict[str, Any]:
    """The largest difference of the exported student's outputs between this device and the CPU."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        student = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    except Exception as error:  # some students need more than timm: a program of their own
        return {"export": f"not timm's alone: {type(error).__name__}"}
    with torch.inference_mode():
        images = torch.rand(
            8, *student.pretrained_cfg["input_size"], generator=torch.Generator().manual_seed(0)
        )
        on_cpu = student(images)
        here = student.to(device)(images.to(device)).cpu()
    difference = float((here - on_cpu).abs().max() / on_cpu.abs().max().clamp(min=1e-6))
    return {
        "export": "equal" if difference <= CLOSE else f"differs by {difference:.2g}",
        "difference": difference,
    }


def _runs(subject: Subject) -> bool:
    return subject.found.kind in ("knowledge", "scheme", "algorithm")


def _needed(name: str, folder: Path) -> dict[str, Any]:
    """Keys of the small recipe that only a component's user can know."""
    if name == "timm-task":
        return {"knowledge": "kd"}
    if name != "experts":
        return {}
    zoo, registry = installed()
    recipe = Subject(zoo.find("knowledge", "kd"), zoo, registry, "kd").recipe()
    data = open_data(recipe.data, seed=0, device=torch.device("cpu"))
    opinions = np.random.default_rng(0).dirichlet(np.ones(len(data.classes)), size=len(data.names))
    np.save(folder / "labels.npy", opinions)
    return {"scheme.labels": str(folder / "labels.npy"), "scheme.missing": "skip"}
