"""``kdzoo probe``: do the features of a network help?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kdzoo.cli.flags import FLAGS
from kdzoo.cli.options import recipe_flags
from kdzoo.cli.output import console, print_json, print_line
from kdzoo.recipe.layers import Layer, dotted, parse_set

_DATA = ("dataset", "data_dir", "class_depth", "img_size", "train_per_class", "test_per_class", "batch_size")


@recipe_flags([FLAGS[name] for name in (*_DATA, "seed")])
def probe(
    student: Annotated[
        str,
        typer.Argument(
            help="The folder of a run, an exported student, or the name of a timm model.", metavar="STUDENT"
        ),
    ],
    *,
    weights: Annotated[
        str | None, typer.Option(help="Its weights: pretrained, a file, or a folder.", show_default=False)
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="A second network, named likewise.", show_default=False)
    ] = None,
    teacher_weights: Annotated[
        str | None, typer.Option(help="The weights of that.", show_default=False)
    ] = None,
    layers: list[Layer],
    neighbours: Annotated[int, typer.Option("--neighbours", "-k", min=1, help="Number of neighbours.")] = 20,
    shots: Annotated[str, typer.Option(help="Numbers of labelled images per class.")] = "1,5,10",
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of the recipe.", show_default=False)
    ] = None,
    accelerator: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a network's features on labelled images, and its teacher's beside them.

    kdzoo probe runs/NAME --data-dir DIR --teacher MODEL --teacher-weights FILE

    Nearest neighbours (cosine, weights exp(cosine / 0.07), as in DINO), a linear classifier on all training images,
    and one on a few of each class: accuracy on the test split, in percent. A model without weights is random.
    """
    from kdzoo.backbone import find_model
    from kdzoo.errors import KdzooError
    from kdzoo.jobs.probe import network_of
    from kdzoo.jobs.probe import probe as measure
    from kdzoo.jobs.resources import Resources
    from kdzoo.jobs.train import make_fabric
    from kdzoo.registry.load import load_registry
    from kdzoo.registry.resolve import resolve
    from kdzoo.zoo import Zoo

    numbers = [int(one) for one in shots.replace(",", " ").split() if one.isdecimal() and int(one)]
    if len(numbers) != len(shots.replace(",", " ").split()):
        raise KdzooError(f"--shots: expected numbers such as 1,5,10, not {shots!r}")
    zoo = Zoo()
    registry = load_registry(zoo)
    networks = {"student": network_of(student, weights)}
    if teacher is not None:
        networks["teacher"] = network_of(teacher, teacher_weights)
    recipes = {}
    for role, network in networks.items():
        own: dict[str, Any] = {"roles.student": network, "data.val_fraction": 0.0, "observers": []}
        given = [Layer(role, dotted(own)), *layers, Layer("--set", parse_set(assign or ()))]
        recipes[role] = resolve(zoo=zoo, registry=registry, method="baseline", layers=given)
        find_model(recipes[role].roles["student"].model, zoo)
    fabric = make_fabric(recipes["student"], accelerator=accelerator)
    resources = Resources(zoo, fabric)
    found = {role: measure(one, resources, k=neighbours, shots=numbers) for role, one in recipes.items()}
    if json:
        print_json(found)
        return
    out = console()
    print_line(out, f"{'':10}" + "".join(f"{name:>10}" for name in found["student"]))
    for role, figures in found.items():
        print_line(out, f"{role:10}" + "".join(f"{figure:10.2f}" for figure in figures.values()))
