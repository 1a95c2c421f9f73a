"""``kdzoo reinforce``: a teacher's answers to views of the training images, stored with what redraws the views."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kdzoo.cli.flags import FLAGS, MACHINE
from kdzoo.cli.options import recipe_flags
from kdzoo.cli.output import console, error_console, print_json, print_line
from kdzoo.recipe.layers import Layer, dotted, flattened, parse_set

_NETWORKS = tuple(name for name in FLAGS if name.startswith("teacher"))
_DATA = ("dataset", "data_dir", "class_depth", "allow_missing", "img_size", "val_fraction", "train_per_class")
_VIEWS = tuple(
    name
    for name, flag in FLAGS.items()
    if flag.key.startswith("data.augment.") and not name.startswith(("mixup", "cutmix", "aug_repeats"))
)
_MORE = ("test_per_class", "batch_size", "workers", "seed", "precision", "channels_last")


@recipe_flags([FLAGS[name] for name in (*_NETWORKS, *_DATA, *_VIEWS, *_MORE)])
def reinforce(
    *,
    output: Annotated[Path, typer.Option(help="Folder of the set.")],
    views: Annotated[int, typer.Option(min=1, max=1 << 16, help="Views of each training image.")] = 10,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Largest logits that are kept of each answer.", show_default="all"),
    ] = None,
    logits: Annotated[
        Literal["float16", "float32"], typer.Option(help="Precision of the logits that are kept.")
    ] = "float16",
    licence: Annotated[str, typer.Option(help="Licence of the set, for its card.", show_default=False)] = "",
    pictures: Annotated[
        Literal["link", "copy"], typer.Option(help="Put a link to the pictures into the set, or a copy.")
    ] = "link",
    layers: list[Layer],
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of the recipe.", show_default=False)
    ] = None,
    accelerator: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, mps.", rich_help_panel=MACHINE)
    ] = "auto",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=MACHINE)
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print what the set is as JSON.", rich_help_panel=MACHINE)
    ] = False,
) -> None:
    """Store a teacher's answers to many views of the training images: a set that teaches without its teacher.

    kdzoo reinforce --teacher MODEL --teacher-weights FILE --data-dir DIR --views 100 --top-k 20 --output SET

    Then kdzoo distill --method kd --student MODEL --data-dir SET trains any student on it, by any method on logits.
    An interrupted command goes on when it is given again.
    """
    from kdzoo.backbone import find_model
    from kdzoo.errors import KdzooError
    from kdzoo.jobs.reinforce import Wanted
    from kdzoo.jobs.reinforce import reinforce as make
    from kdzoo.jobs.resources import Resources
    from kdzoo.jobs.train import make_fabric
    from kdzoo.observers.console import Console
    from kdzoo.registry.load import load_registry
    from kdzoo.registry.resolve import resolve
    from kdzoo.zoo import Zoo

    given = [*layers, Layer("--set", parse_set(assign or ()))]
    if not any(key == "roles.teacher.model" for one in given for key, _ in flattened(one.values)):
        raise KdzooError("whose answers? pass --teacher MODEL")
    zoo = Zoo()
    own = Layer("kdzoo reinforce", {"observers": []})
    recipe = resolve(
        zoo=zoo, registry=load_registry(zoo), method="baseline", layers=[own, *map(_of_the_student, given)]
    )
    teacher = recipe.roles["student"]
    recipe = recipe.model_copy(update={"roles": {"student": teacher, "teacher": teacher}})
    find_model(teacher.model, zoo)
    resources = Resources(zoo, make_fabric(recipe, accelerator=accelerator))
    wanted = Wanted(output, views, top_k, logits, licence, pictures == "copy")
    with closing(Console(error_console())) as shown:
        facts = make(recipe, wanted, resources, (lambda event: None) if quiet or json else shown.observe)
    if json:
        print_json({**facts.model_dump(mode="json", exclude={"files"}), "folder": str(output)})
        return
    print_line(
        console(),
        f"{output}: {facts.views} views of {facts.images:,} images, answered by {facts.teacher.model}",
    )


def _of_the_student(layer: Layer) -> Layer:
    """The teacher's settings under the name of the role that a recipe without a lesson has."""
    values: dict[str, Any] = {
        key.replace("roles.teacher.", "roles.student.", 1): value for key, value in flattened(layer.values)
    }
    return Layer(layer.source, dotted(values))
