"""What to type first: three commands that fit the machine and the folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import typer

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_LOOKED_AT = 200
"""Entries of a folder that are looked at: this is a hint, and a folder may have millions."""

_CLASSES = 2
"""Sub-folders with images from which a folder looks like a data set."""

_SUITE = "quick"

_GPU = Path("/dev/nvidiactl"), Path("/dev/kfd")
"""Devices of the drivers of NVIDIA and AMD; asking torch would take seconds."""


def say_first(command: str = "") -> None:
    """Print three commands on standard error.

    Args:
        command: ``distill`` for three runs; default: three ways to begin.
    """
    gpu = any(one.exists() for one in _GPU)
    folder = image_folder(Path())
    found = f"images in {folder}" if folder else "no folder of images here"
    typer.echo(f"to begin with ({'a GPU' if gpu else 'no GPU'}, {found}):", err=True)
    for line in first_commands(folder, _methods(), gpu=gpu, command=command):
        typer.echo(f"  {line}", err=True)


def _methods() -> list[str]:
    """The first installed methods of the suite that is shown first."""
    from kdzoo.registry.load import load_registry
    from kdzoo.zoo import Zoo

    zoo = Zoo()
    registry = load_registry(zoo)
    suite = registry.suites.get(_SUITE)
    known = [name for name in (suite.methods if suite else ()) if name in registry.methods]
    taught = [name for name in known if registry.methods[name].knowledge]
    return [name for name in taught if zoo.has(*registry.methods[name].packages)][:3]


def first_commands(folder: Path | None, methods: Sequence[str], *, gpu: bool, command: str = "") -> list[str]:
    """At most three command lines.

    Args:
        folder: with images in sub-folders, one for each class; None: digits, which need no files.
        methods: to begin with, each with a teacher and a student.
        gpu: whether there is one, so that larger networks are in place.
        command: as for :func:`say_first`.
    """
    data = "" if folder is None else f" --data-dir {shlex.quote(str(folder))}"
    pair = (
        "--teacher resnet50 --student resnet18"
        if gpu
        else "--teacher resnet18 --student mobilenetv3_small_050"
    )
    if folder is None:
        pair = "--teacher test_resnet --student test_efficientnet"
    runs = [f"kdzoo distill --method {method} {pair}{data}" for method in methods]
    if command == "distill":
        return runs
    return [*runs[:1], f"kdzoo bench {_SUITE} --methods {','.join(methods)}{data}", "kdzoo list"]


def image_folder(here: Path) -> Path | None:
    """``here``, or the first folder in it, where two sub-folders or more have images; None if there is none."""
    for folder in (here, *_folders(here)):
        for classes in (folder, folder / "train"):
            if sum(map(_has_pictures, _folders(classes))) >= _CLASSES:
                return folder if folder != here else Path()
    return None


def _folders(folder: Path) -> Iterator[Path]:
    yield from sorted(
        Path(one.path) for one in _entries(folder) if one.is_dir() and not one.name.startswith(".")
    )


def _has_pictures(folder: Path) -> bool:
    return any(one.name.lower().endswith(_PICTURES) for one in _entries(folder))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, _LOOKED_AT))
    except OSError:  # a folder that cannot be read has no hint to give
        return []
