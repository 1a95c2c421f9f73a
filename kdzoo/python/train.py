"""``kdzoo distill`` as a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdzoo.api.observer import Job
from kdzoo.backbone import find_model
from kdzoo.cli.distill import run_name
from kdzoo.cli.flags import KEYS, layer
from kdzoo.errors import UnknownName
from kdzoo.jobs.train import make_fabric, train
from kdzoo.python.load import LoadedRun
from kdzoo.recipe.layers import Layer, dotted, models_of
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.registry.roles import unused_teacher
from kdzoo.stopping import Stop
from kdzoo.zoo import Zoo


def distill(
    method: str | None = None,
    *,
    recipe: str | Path | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    registry: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    quiet: bool = False,
    **flags: Any,
) -> LoadedRun:
    """Distil a student in this process, and return its run.

    ``kdzoo.distill("kd", teacher="resnet50", student="resnet18", data_dir="DIR")`` is ``kdzoo distill --method kd
    --teacher resnet50 --student resnet18 --data-dir DIR``. A notebook shows a line for each epoch and, now and then,
    the time left. Interrupt it (Ctrl-C, or the notebook's stop) and call it again with ``resume=True`` to go on.

    Args:
        method: a method of the registry.
        recipe: a recipe in YAML; everything else goes before it.
        output: folder of the run; default: ``runs/...``, named after the method and the networks.
        resume: go on with the run in ``output``; a finished one is returned at once.
        registry: further registry files or URLs.
        settings: any keys of the recipe, dotted: ``{"knowledge.temperature": 2.0}``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        quiet: show no progress.
        flags: those of the command, with underscores: ``teacher``, ``student``, ``data_dir``, ``epochs``, ``lr``, ...

    Raises:
        KdzooError: bad input, or a loss that is not finite.
        Stopped: (a KeyboardInterrupt) it was interrupted; its state is saved.
    """
    for name in flags:
        if name not in KEYS:
            raise UnknownName("argument of kdzoo.distill", name, KEYS)
    zoo = Zoo()
    methods = load_registry(zoo, registry)
    layers = [*layer(**flags), Layer("settings", dotted(settings or {}))]
    file = None if recipe is None else Path(recipe)
    resolved = resolve(zoo=zoo, registry=methods, method=method, file=file, layers=layers, resuming=resume)
    for model in models_of(layers).values():  # the recipe lacks models of unused roles
        find_model(model, zoo)
    if quiet:
        kept = tuple(one for one in resolved.observers if one.name != "console")
        resolved = resolved.model_copy(update={"observers": kept})
    entry = methods.methods.get(resolved.method or "")
    folder = Path(output) if output is not None else Path("runs") / run_name(resolved, entry)
    stop = Stop()
    with stop.listening():
        job = Job(folder.name, "student", None, (resolved.method or "custom", resolved.data.dataset))
        fabric = make_fabric(resolved, accelerator=device)
        notes = unused_teacher(resolved, layers, zoo)
        train(resolved, folder, zoo=zoo, job=job, resume=resume, fabric=fabric, stop=stop, notes=notes)
    return LoadedRun(folder)
