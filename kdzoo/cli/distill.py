"""``kdzoo distill``: one run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from kdzoo.cli.first import say_first
from kdzoo.cli.flags import FLAGS, MACHINE, REGISTRY
from kdzoo.cli.options import recipe_flags
from kdzoo.cli.output import print_json
from kdzoo.errors import KdzooError, NothingToRun
from kdzoo.files import folder_name
from kdzoo.recipe.layers import COMPONENTS, Layer, models_of, parse_set, sources_of


def _option(*names: str, help: str, panel: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


@recipe_flags(FLAGS.values())
def distill(
    *,
    method: Annotated[str | None, _option("--method", "-m", help="A method of the registry.")] = None,
    recipe: Annotated[Path | None, _option("--recipe", help="A recipe in YAML; flags override it.")] = None,
    output: Annotated[Path | None, _option("--output", help="Folder of the run (default runs/...).")] = None,
    resume: Annotated[bool, _option("--resume", help="Continue the run in --output.")] = False,
    registry: Annotated[list[str] | None, REGISTRY] = None,
    assign: Annotated[
        list[str] | None,
        _option(
            "--set",
            help="Any key: --set knowledge.temperature=2, or --knowledge.temperature=2. May be repeated.",
        ),
    ] = None,
    layers: list[Layer],
    accelerator: Annotated[str, _option("--device", help="auto, cpu, cuda, mps.", panel=MACHINE)] = "auto",
    devices: Annotated[int, _option("--devices", help="Processes, one for each device.", panel=MACHINE)] = 1,
    quiet: Annotated[bool, _option("--quiet", "-q", help="No progress.", panel=MACHINE)] = False,
    json: Annotated[bool, _option("--json", help="Print the result as JSON.", panel=MACHINE)] = False,
) -> None:
    """Distil a student on digits, a folder of images, or any data set that timm reads.

    kdzoo distill --method kd --teacher resnet50 --student resnet18 --data-dir DIR

    Flags win over --recipe, and both over the method's own settings. In brackets: the recipe's key that a flag sets.
    """
    given = [*layers, Layer("--set", parse_set(assign or ()))]
    if not (method or recipe or resume or any(one.values for one in given)):
        say_first("distill")
        raise NothingToRun
    from kdzoo.api.observer import Job  # below what needs no torch
    from kdzoo.backbone import find_model
    from kdzoo.jobs.train import make_fabric, train
    from kdzoo.processes import launched
    from kdzoo.recipe.identity import Differs
    from kdzoo.recipe.scaling import scaled
    from kdzoo.registry.load import load_registry
    from kdzoo.registry.resolve import resolve
    from kdzoo.registry.roles import unused_teacher
    from kdzoo.stopping import Stop, Stopped
    from kdzoo.zoo import Zoo

    if resume and output is None:
        raise KdzooError("--resume needs --output, the folder of the run to continue")
    if (
        resume
        and output is not None
        and recipe is None
        and method is None
        and (output / "recipe.yaml").exists()
    ):
        recipe = output / "recipe.yaml"
    zoo = Zoo()
    methods = load_registry(zoo, registry or ())
    resolved = resolve(
        zoo=zoo,
        registry=methods,
        method=method or ("baseline" if recipe is None and _names_a_component(layers) else None),
        file=recipe,
        layers=given,
        resuming=resume,
    )
    for model in models_of(given).values():  # the recipe lacks models of unused roles
        find_model(model, zoo)
    if quiet or json:
        kept = tuple(one for one in resolved.observers if one.name != "console")
        resolved = resolved.model_copy(update={"observers": kept})
    named = run_name(resolved, methods.methods.get(resolved.method or ""))
    folder = output or _sweep_folder() or Path("runs") / named
    teacher_role = resolved.roles.get("teacher")
    pair = (
        f"{teacher_role.model}>{resolved.roles['student'].model}"
        if teacher_role
        else resolved.roles["student"].model
    )
    job = Job(folder.name, "student", None, (resolved.method or "custom", resolved.data.dataset, pair))
    fabric = make_fabric(resolved, accelerator=accelerator, devices=devices, launch=launched())
    resolved = scaled(resolved, fabric.world_size)
    stop = Stop()
    try:
        with stop.listening():
            notes = unused_teacher(resolved, given, zoo)
            result = train(
                resolved, folder, zoo=zoo, job=job, resume=resume, fabric=fabric, stop=stop, notes=notes
            )
    except Stopped as error:
        if fabric.global_rank != 0:
            raise typer.Exit(error.exit_code) from None
        raise Stopped(
            error.number, f"{error.where}; to continue: the same command, --resume --output {folder}"
        ) from None
    except Differs as error:
        raise error.with_flags(sources_of(given)) from None
    if json and fabric.global_rank == 0:
        print_json({**result, "folder": str(folder)})


def _names_a_component(layers: list[Layer]) -> bool:
    return any(kind in layer.values for layer in layers for kind in COMPONENTS)


def _sweep_folder() -> Path | None:
    """A folder for this run of a wandb sweep, whose runs differ in settings that are not in the usual name."""
    sweep, run = (os.environ.get(name) for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID"))
    return Path("runs") / "sweeps" / folder_name(sweep) / folder_name(run) if sweep and run else None


def run_name(recipe: Any, entry: Any = None) -> str:
    """A readable name for a run's folder, with the components that are not those of the method's registry entry."""
    from pathlib import PurePath

    parts = [recipe.method or recipe.algorithm.name]
    usual = {(kind, one.name) for kind, one in entry.components} if entry else {("scheme", "offline")}
    own = [(kind, one.name) for kind, one in recipe.components]
    changed = {kind for kind, _ in usual ^ set(own)}
    parts += [name for kind, name in own if kind in changed and name not in parts]
    parts += ["alone"] if entry and entry.knowledge and not recipe.knowledge else []
    parts += [
        PurePath(recipe.roles[role].model).name for role in ("teacher", "student") if role in recipe.roles
    ]
    source = recipe.data.data_dir.name if recipe.data.data_dir else recipe.data.dataset.replace("/", "-")
    return folder_name("-".join([*parts, source, f"seed{recipe.seed}"]))
