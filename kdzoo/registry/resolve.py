"""From a method's name, files and flags to one validated recipe."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdzoo.errors import Fault, KdzooError, NothingToRun, UnknownName, shortened
from kdzoo.files import absolute
from kdzoo.recipe.component import Component
from kdzoo.recipe.layers import Layer, Merged
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.reinforced import with_reinforced
from kdzoo.recipe.scaling import scaled
from kdzoo.registry.load import find_method
from kdzoo.registry.model import Registry
from kdzoo.registry.roles import check_known, check_named, declared_in, fill_in, nameable
from kdzoo.version import __version__
from kdzoo.yaml_text import read_yaml
from kdzoo.zoo import Zoo
from kdzoo.zoo.hyperparameters import validate
from kdzoo.zoo.zoo import KINDS

_LARGEST = 3.4e38
"""Of numbers in a recipe: float32, in which networks compute, ends here, and powers of larger floats overflow."""


def resolve(
    *,
    zoo: Zoo,
    registry: Registry,
    method: str | None = None,
    file: Path | None = None,
    layers: Sequence[Layer] = (),
    resuming: bool = False,
    spare: Collection[str] = (),
) -> Recipe:
    """One recipe with every value filled in and every name and hyper-parameter checked.

    Args:
        zoo: where components are found.
        registry: where methods are found.
        method: a method's name; it wins over the one that ``file`` names.
        file: a recipe in YAML.
        layers: what lies on top, later ones win: flags, ``--set``.
        resuming: whether ``file`` is that of a run to be continued. An observer that it names need not be installed:
            the run goes on without it.
        spare: roles that are left out unless the scheme or the algorithm declares them.

    Raises:
        KdzooError: an unknown name or a bad value; names the source, the key and what is accepted.
    """
    merged = Merged()
    if file is not None:
        written = read_yaml(file)
        if written.get("method") is not None:
            _add_method(merged, registry, str(written["method"]))  # what is no name is an unknown one
        merged.add(Layer(str(file), written))
    if method is not None:
        _add_method(merged, registry, method)
    for layer in layers:
        merged.add(layer)
    merged.values["kdzoo"] = __version__
    for kind in ("scheme", "algorithm"):
        if merged.values.get(kind) is None:
            raise NothingToRun
    declared = declared_in(merged, zoo)
    roles = merged.values.get("roles")
    if isinstance(roles, dict):
        unused = [name for name in spare if name not in nameable(declared)]
        if not merged.values.get("knowledge") and not _reads_teacher(merged, zoo):
            unused += [] if "teacher" in declared and not declared["teacher"][0].optional else ["teacher"]
        for name in unused:
            roles.pop(name, None)
    fill_in(merged, declared)
    recipe = _checked(merged, zoo)
    check_named(declared, recipe.roles)
    if not resuming:  # a run that was begun is ended, whatever it names besides
        check_known(declared, recipe)
    _check_observers(recipe, merged, zoo, optional=resuming and merged.source("observers") == str(file))
    return recipe


def _check_observers(recipe: Recipe, merged: Merged, zoo: Zoo, *, optional: bool) -> None:
    """Refuse bad settings, and observers that are not installed or do not load, unless they are ``optional``."""
    for one in recipe.observers:
        try:
            found = zoo.find("observer", one.name)
            found.component  # noqa: B018  # imports it
        except KdzooError:
            if not optional:
                raise
        else:
            if one.settings:
                validate(found, one.settings, merged.source("observers"), f"observers.{one.name}")


def _reads_teacher(merged: Merged, zoo: Zoo) -> bool:
    algorithm = merged.values["algorithm"]
    name = algorithm.get("name") if isinstance(algorithm, dict) else None
    return isinstance(name, str) and bool(zoo.find("algorithm", name).component.reads_teacher)


def _add_method(merged: Merged, registry: Registry, name: str) -> None:
    method = find_method(registry, name)
    merged.add(
        Layer(
            f"method {name}",
            {
                "method": name,
                **method.model_dump(include={"knowledge", "scheme", "algorithm"}),
                **method.recipe,
            },
        )
    )


def _checked(merged: Merged, zoo: Zoo) -> Recipe:
    try:
        recipe = Recipe.model_validate(merged.values)
    except ValidationError as error:
        raise KdzooError(_explain(error, merged, zoo)) from None
    complete: dict[str, list[Component]] = {kind: [] for kind in KINDS}
    for kind, component in recipe.components:
        at = f"{kind}.{component.name}" if kind == "knowledge" and len(recipe.knowledge) > 1 else kind
        settings = validate(zoo.find(kind, component.name), component.settings, merged.source(at), at)
        complete[kind].append(component.model_copy(update={"settings": settings}))
    recipe = recipe.model_copy(
        update={
            "knowledge": tuple(complete["knowledge"]),
            "scheme": complete["scheme"][0],
            "algorithm": complete["algorithm"][0],
        }
    )
    recipe = with_reinforced(scaled(recipe.model_copy(update=_absolute(recipe)), 1))
    for key, value in _numbers(recipe.model_dump()):
        if not abs(value) <= _LARGEST:  # nor is NaN
            given = shortened(value)
            raise KdzooError(
                f"{merged.source(key)}: {key}: expected a number of at most {_LARGEST:.3g}, not {given}"
            )
    return recipe


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Every number in plain data with its dotted key."""
    if isinstance(value, float | int):
        yield key, value
    elif isinstance(value, Mapping | list | tuple):
        for name, one in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _numbers(one, f"{key}.{name}" if key else str(name))


def _absolute(recipe: Recipe) -> Mapping[str, Any]:
    """Paths that hold wherever the recipe is run again."""

    def resolved(path: Path | None) -> Path | None:
        return absolute(path) if path else None

    paired = {name: resolved(path) for name, path in recipe.data.paired.items()}
    places = {name: resolved(getattr(recipe.data, name)) for name in ("data_dir", "labels_file")}
    data = recipe.data.model_copy(update={**places, "paired": paired})
    roles = {
        name: role.model_copy(
            update={
                "checkpoint": resolved(role.checkpoint),
                "model": _weights(role.model) if role.model.startswith("local-dir:") else role.model,
                "weights": role.weights and _weights(role.weights),
            }
        )
        for name, role in recipe.roles.items()
    }
    return {"data": data, "roles": roles}


def _weights(source: str) -> str:
    """Where weights are; the path of a file or a folder from the root."""
    if source == "pretrained" or source.startswith("hf-hub:"):
        return source
    start = "local-dir:" if source.startswith("local-dir:") else ""
    return source if source == start else f"{start}{absolute(Path(source.removeprefix(start)))}"


def _explain(error: ValidationError, merged: Merged, zoo: Zoo) -> str:
    fault = Fault.first(error)
    if fault.loc == ("roles",) and merged.values.get("roles") in (None, {}):
        return f"which networks? pass {_networks(merged, zoo)}"
    if (
        fault.loc[:1] == ("knowledge",)
        and fault.loc[1:2]
        and fault.loc[1].isdigit()
        and isinstance(merged.values["knowledge"], list)
    ):
        part = str(merged.values["knowledge"][int(fault.loc[1])].get("name"))
        fault = replace(fault, loc=("knowledge", part, *fault.loc[2:]))  # the part by name, not by number
    source = merged.source(fault.key)
    if fault.code == "extra_forbidden":
        return f"{source}: {UnknownName('key', fault.key, _keys_beside(fault.loc))}"
    if fault.code == "missing":
        needs_flag = fault.loc[1:] in (("student", "model"), ("teacher", "model"))
        return f"{source}: {fault.key} is missing{f': pass --{fault.loc[1]} MODEL' if needs_flag else ''}"
    given = "" if fault.code == "value_error" else f", not {shortened(fault.given)}"
    return f"{source}: {fault}{given}"


def _networks(merged: Merged, zoo: Zoo) -> str:
    """The flags that name the networks, for a user who named none."""
    scheme = merged.values["scheme"]
    name = scheme.get("name") if isinstance(scheme, dict) else scheme
    taught = merged.values.get("knowledge") or _reads_teacher(merged, zoo)
    if taught and zoo.find("scheme", str(name)).component.kind == "offline":
        return "--teacher MODEL and --student MODEL, such as --teacher resnet50 --student resnet18"
    return "--student MODEL, such as --student resnet18"


def _keys_beside(loc: Sequence[str]) -> list[str]:
    """The keys that the section around ``loc`` accepts, dotted."""
    model: Any = Recipe
    for part in loc[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:  # a role's name
            break
        model = _section(field.annotation) or model
    return [".".join([*loc[:-1], name]) for name in getattr(model, "model_fields", {})]


def _section(annotation: Any) -> Any:
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((one for one in candidates if hasattr(one, "model_fields")), None)
