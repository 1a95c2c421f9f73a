"""``kdzoo distill``: one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kdzoo.cli.flags import REGISTRY, layer
from kdzoo.cli.output import print_json
from kdzoo.recipe.layers import Layer, parse_set, sources_of

NETWORKS, DATA, OPTIMISATION, MACHINE = "Networks", "Data", "Optimisation", "Machine"


def _option(*names: str, help: str, panel: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def distill(
    method: Annotated[str | None, _option("--method", "-m", help="A method of the registry.")] = None,
    recipe: Annotated[Path | None, _option("--recipe", help="A recipe in YAML; flags win over it.")] = None,
    output: Annotated[Path | None, _option("--output", help="Folder of the run [default: runs/...].")] = None,
    resume: Annotated[bool, _option("--resume", help="Go on with the run in --output.")] = False,
    registry: Annotated[list[str] | None, REGISTRY] = None,
    assign: Annotated[
        list[str] | None, _option("--set", help="Any key: --set knowledge.temperature=2. May be repeated.")
    ] = None,
    knowledge: Annotated[str | None, _option("--knowledge", help="Replaces the method's knowledge.")] = None,
    scheme: Annotated[str | None, _option("--scheme", help="Replaces the method's scheme.")] = None,
    algorithm: Annotated[str | None, _option("--algorithm", help="Replaces the method's algorithm.")] = None,
    teacher: Annotated[
        str | None, _option("--teacher", help="A timm model or local-dir:FOLDER.", panel=NETWORKS)
    ] = None,
    teacher_checkpoint: Annotated[
        Path | None,
        _option(
            "--teacher-checkpoint", help="Its weights; without them it is trained first.", panel=NETWORKS
        ),
    ] = None,
    teacher_pretrained: Annotated[
        bool | None,
        _option("--teacher-pretrained", help="Train it from timm's pretrained weights.", panel=NETWORKS),
    ] = None,
    teacher_img_size: Annotated[
        int | None, _option("--teacher-img-size", help="Pixels that it sees.", panel=NETWORKS)
    ] = None,
    teacher_epochs: Annotated[
        int | None, _option("--teacher-epochs", help="If it is trained here.", panel=NETWORKS)
    ] = None,
    teacher_lr: Annotated[
        float | None, _option("--teacher-lr", help="If it is trained here.", panel=NETWORKS)
    ] = None,
    student: Annotated[
        str | None, _option("--student", "--model", help="A timm model.", panel=NETWORKS)
    ] = None,
    student_checkpoint: Annotated[
        Path | None, _option("--student-checkpoint", help="Weights to begin with.", panel=NETWORKS)
    ] = None,
    student_pretrained: Annotated[
        bool | None,
        _option("--student-pretrained", "--pretrained", help="Begin with timm's weights.", panel=NETWORKS),
    ] = None,
    student_img_size: Annotated[
        int | None, _option("--student-img-size", help="Pixels that it sees.", panel=NETWORKS)
    ] = None,
    drop_path: Annotated[float | None, _option("--drop-path", help="Of the student.", panel=NETWORKS)] = None,
    dataset: Annotated[
        str | None, _option("--dataset", help="digits, folder, or a name that timm reads.", panel=DATA)
    ] = None,
    data_dir: Annotated[
        Path | None, _option("--data-dir", help="Image folder: train/, val/, test/.", panel=DATA)
    ] = None,
    img_size: Annotated[int | None, _option("--img-size", help="Pixels to decode to.", panel=DATA)] = None,
    val_fraction: Annotated[
        float | None, _option("--val-fraction", help="Cut from train where there is no val/.", panel=DATA)
    ] = None,
    train_per_class: Annotated[
        int | None, _option("--train-per-class", help="Use so many training images a class.", panel=DATA)
    ] = None,
    test_per_class: Annotated[
        int | None, _option("--test-per-class", help="Use so many test images a class.", panel=DATA)
    ] = None,
    labels_per_class: Annotated[
        int | None, _option("--labels-per-class", help="Withhold all other training labels.", panel=DATA)
    ] = None,
    batch_size: Annotated[int | None, _option("--batch-size", "-b", help="Per process.", panel=DATA)] = None,
    workers: Annotated[int | None, _option("--workers", "-j", help="Decoding processes.", panel=DATA)] = None,
    epochs: Annotated[int | None, _option("--epochs", help="Of the student.", panel=OPTIMISATION)] = None,
    lr: Annotated[float | None, _option("--lr", help="Peak learning rate.", panel=OPTIMISATION)] = None,
    opt: Annotated[str | None, _option("--opt", help="A timm optimizer.", panel=OPTIMISATION)] = None,
    weight_decay: Annotated[float | None, _option("--weight-decay", help="", panel=OPTIMISATION)] = None,
    momentum: Annotated[float | None, _option("--momentum", help="", panel=OPTIMISATION)] = None,
    sched: Annotated[str | None, _option("--sched", help="A timm schedule.", panel=OPTIMISATION)] = None,
    warmup_epochs: Annotated[float | None, _option("--warmup-epochs", help="", panel=OPTIMISATION)] = None,
    min_lr: Annotated[float | None, _option("--min-lr", help="", panel=OPTIMISATION)] = None,
    clip_grad: Annotated[float | None, _option("--clip-grad", help="Norm.", panel=OPTIMISATION)] = None,
    smoothing: Annotated[float | None, _option("--smoothing", help="Of labels.", panel=OPTIMISATION)] = None,
    seed: Annotated[int | None, _option("--seed", help="", panel=OPTIMISATION)] = None,
    amp: Annotated[bool, _option("--amp", help="bfloat16 autocast.", panel=MACHINE)] = False,
    channels_last: Annotated[
        bool | None, _option("--channels-last/--no-channels-last", help="Memory format.", panel=MACHINE)
    ] = None,
    compile: Annotated[
        bool | None, _option("--torchcompile", help="Compile backbones.", panel=MACHINE)
    ] = None,
    accelerator: Annotated[str, _option("--device", help="auto, cpu, cuda, mps.", panel=MACHINE)] = "auto",
    devices: Annotated[int, _option("--devices", help="Processes, one for each device.", panel=MACHINE)] = 1,
    quiet: Annotated[bool, _option("--quiet", "-q", help="No progress.", panel=MACHINE)] = False,
    json: Annotated[bool, _option("--json", help="Print the result as JSON.", panel=MACHINE)] = False,
) -> None:
    """Distil a student on digits, a folder of images, or any data set that timm reads.

    kdzoo distill --method kd --teacher resnet50 --student resnet18 --data-dir DIR
    """
    from kdzoo.api.observer import Job
    from kdzoo.errors import KdzooError
    from kdzoo.jobs.train import make_fabric, train
    from kdzoo.recipe.identity import Differs
    from kdzoo.registry.load import load_registry
    from kdzoo.registry.resolve import resolve
    from kdzoo.zoo import Zoo

    flags = layer(
        knowledge=knowledge,
        scheme=scheme,
        algorithm=algorithm,
        teacher=teacher,
        teacher_checkpoint=teacher_checkpoint,
        teacher_pretrained=teacher_pretrained,
        teacher_img_size=teacher_img_size,
        teacher_epochs=teacher_epochs,
        teacher_lr=teacher_lr,
        student=student,
        student_checkpoint=student_checkpoint,
        student_pretrained=student_pretrained,
        student_img_size=student_img_size,
        drop_path=drop_path,
        dataset=dataset,
        data_dir=data_dir,
        img_size=img_size,
        val_fraction=val_fraction,
        train_per_class=train_per_class,
        test_per_class=test_per_class,
        labels_per_class=labels_per_class,
        batch_size=batch_size,
        workers=workers,
        epochs=epochs,
        lr=lr,
        opt=opt,
        weight_decay=weight_decay,
        momentum=momentum,
        sched=sched,
        warmup_epochs=warmup_epochs,
        min_lr=min_lr,
        clip_grad=clip_grad,
        smoothing=smoothing,
        seed=seed,
        precision="bf16-mixed" if amp else None,
        channels_last=channels_last,
        compile=compile,
    )
    if resume and output is None:
        raise KdzooError("--resume needs --output, the folder of the run to go on with")
    if (
        resume
        and output is not None
        and recipe is None
        and method is None
        and (output / "recipe.yaml").exists()
    ):
        recipe = output / "recipe.yaml"
    layers = [*flags, Layer("--set", parse_set(assign or ()))]
    zoo = Zoo()
    resolved = resolve(
        zoo=zoo,
        registry=load_registry(zoo, registry or ()),
        method=method or ("baseline" if recipe is None and (knowledge or scheme or algorithm) else None),
        file=recipe,
        layers=layers,
    )
    if quiet or json:
        kept = tuple(name for name in resolved.observers if name != "console")
        resolved = resolved.model_copy(update={"observers": kept})
    folder = output or Path("runs") / run_name(resolved)
    teacher_role = resolved.roles.get("teacher")
    pair = (
        f"{teacher_role.model}>{resolved.roles['student'].model}"
        if teacher_role
        else resolved.roles["student"].model
    )
    job = Job(folder.name, "student", None, (resolved.method or "custom", resolved.data.dataset, pair))
    fabric = make_fabric(resolved, accelerator=accelerator, devices=devices)
    try:
        result = train(resolved, folder, zoo=zoo, job=job, resume=resume, fabric=fabric)
    except Differs as error:
        raise error.with_flags(sources_of(layers)) from None
    if json and fabric.global_rank == 0:
        print_json({**result, "folder": str(folder)})


def run_name(recipe: Any) -> str:
    """A readable name for a run's folder."""
    from pathlib import PurePath

    parts = [recipe.method or recipe.algorithm.name]
    parts += [
        PurePath(recipe.roles[role].model).name for role in ("teacher", "student") if role in recipe.roles
    ]
    source = recipe.data.data_dir.name if recipe.data.data_dir else recipe.data.dataset.replace("/", "-")
    return "-".join([*parts, source, f"seed{recipe.seed}"])
