"""``kdzoo sweep init``: a wandb sweep whose program is ``kdzoo distill``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
import yaml

from kdzoo.cli.flags import FLAGS, REGISTRY
from kdzoo.cli.options import recipe_flags
from kdzoo.cli.output import console, print_line
from kdzoo.errors import KdzooError
from kdzoo.recipe.layers import Layer, flattened, parse_set

sweep = typer.Typer(
    help="Search a method's hyper-parameters with a sweep of Weights & Biases.", no_args_is_help=True
)


@sweep.command("init")
@recipe_flags(FLAGS.values())
def init(
    *,
    method: Annotated[str, typer.Argument(help="A method of the registry.")],
    layers: list[Layer],
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any key that every run of the sweep gets. May be repeated."),
    ] = None,
    registry: Annotated[list[str] | None, REGISTRY] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs after which the sweep ends.")] = 30,
    file: Annotated[Path, typer.Option("--file", help="Where to write it.")] = Path("sweep.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write the sweep's YAML, with the ranges that the method's hyper-parameters declare; nothing is sent.

    kdzoo sweep init kd --teacher resnet50 --student resnet18 --data-dir DIR

    Each run is one process, with a folder of its own, runs/sweeps/SWEEP/RUN. They are compared by validation.
    """
    from kdzoo.files import write_text
    from kdzoo.registry.load import load_registry
    from kdzoo.registry.resolve import resolve
    from kdzoo.zoo import Zoo

    zoo = Zoo()
    methods = load_registry(zoo, registry or ())
    given = [*layers, Layer("--set", parse_set(assign or ()))]
    recipe = resolve(zoo=zoo, registry=methods, method=method, layers=given)
    if not recipe.data.val_fraction and recipe.data.data_dir is None:
        raise KdzooError("a sweep compares runs by validation: set data.val_fraction above 0")
    if file.exists() and not force:
        raise KdzooError(f"{file} exists; pass --force to replace it, or another --file")
    words = ["distill", "--method", method]
    words += [word for one in layers for word in _typed(one)]
    words += [word for one in assign or () for word in ("--set", one)]
    words += [word for one in registry or () for word in ("--registry", one)]
    fixed = {key for one in given for key, _ in flattened(one.values)}
    searched = {key: one for key, one in parameters(recipe, zoo) if key not in fixed}
    content = {
        "program": "kdzoo",
        "command": ["${env}", "${program}", *words, "${args}"],
        "name": f"{method} {recipe.roles['student'].model}",
        "method": "bayes",
        "metric": {"name": "val/accuracy", "goal": "maximize"},
        "run_cap": runs,
        "parameters": searched,
    }
    write_text(file, yaml.safe_dump(content, sort_keys=False, width=1000))
    out = console()
    print_line(out, f"{file}: {len(searched)} parameters; begin it, then start one agent for each GPU:")
    print_line(out, f"  wandb sweep {file}")
    print_line(out, "  wandb agent ENTITY/PROJECT/SWEEP")


def parameters(recipe: Any, zoo: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted key -> what a sweep tries: what ``tune: {trials: N}`` searches, and each choice and switch."""
    from kdzoo.bench.tuning_space import space_of

    for one in space_of(recipe, zoo, {}):
        kind = "int_uniform" if one.whole else "log_uniform_values" if one.log else "uniform"
        yield one.key, {"distribution": kind, "min": one.rounded(one.low), "max": one.rounded(one.high)}
    yield from _choices(recipe, zoo)


def _choices(recipe: Any, zoo: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    from kdzoo.api.tune import Tune
    from kdzoo.zoo.hyperparameters import schema

    several = len(recipe.knowledge) > 1
    for kind, component in recipe.components:
        at = f"{kind}.{component.name}" if kind == "knowledge" and several else kind
        for name, field in schema(zoo.find(kind, component.name).component).model_fields.items():
            if any(isinstance(one, Tune) and one.fixed for one in field.metadata):
                continue
            if field.annotation is bool:
                yield f"{at}.{name}", {"values": [True, False]}
            elif get_origin(field.annotation) is Literal:
                yield f"{at}.{name}", {"values": list(get_args(field.annotation))}


def _typed(layer: Layer) -> list[str]:
    """A flag's layer as a user types it, with whole paths, since agents may work elsewhere."""
    flag = next(one for one in FLAGS.values() if one.typed[0].partition("/")[0] == layer.source)
    ((key, value),) = flattened(layer.values)
    if isinstance(value, Path):
        value = value.resolve()
    if flag.sets is not None or isinstance(value, bool | list):
        return ["--set", f"{key}={json.dumps(value)}"]
    return [layer.source, str(value)]
