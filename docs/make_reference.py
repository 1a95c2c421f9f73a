"""Write ``docs/reference.md`` from the docstrings of ``kdzoo.api``: ``python docs/make_reference.py``.

What stands there before the hooks is written by hand, and kept. The tables of keys are those of the models.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from make_fields import RECIPE, REGISTRY, tables

import kdzoo
from kdzoo import api, testing
from kdzoo.api import hooks

PAGE = Path(__file__).with_name("reference.md")

SECTIONS = {
    "What you subclass": (
        "Knowledge",
        "LossKnowledge",
        "Scheme",
        "SeveralTeachers",
        "Algorithm",
        "Observer",
        "Metric",
        "WrappedMetric",
        "DataSource",
        "Probe",
        "Assembled",
    ),
    "What you are lent": ("Run", "Data", "Stream"),
    "What flows between them": (
        "Batch",
        "Output",
        "UNLABELLED",
        "Taps",
        "Lesson",
        "DeclaredRole",
        "Phase",
        "Ramp",
        "Noise",
        "Backbone",
        "Samples",
        "AutoAugmentName",
        "OptimConfig",
        "Tune",
        "KdzooError",
    ),
    "Functions that many share": (
        "softened_kl",
        "pool_to_smaller",
        "at_least_float32",
        "without_autocast",
        "Reduction",
        "reduce",
        "choice",
        "refuse_mixing",
        "evaluating",
        "seeded",
        "markdown_text",
    ),
    "Events": (
        "Event",
        "Job",
        "RunStarted",
        "Preparing",
        "PhaseStarted",
        "StepsDone",
        "StepFigures",
        "EpochEnded",
        "Pictured",
        "Noted",
        "Warned",
        "RunEnded",
        "RunFailed",
        "RunStopped",
    ),
}
"""The names of the API in the order in which a reader meets them; ``hookimpl`` stands with the hooks."""

KEYS = {
    "Recipes": (
        "What a recipe in YAML, `--set KEY=VALUE` and `--KEY=VALUE` may say. A component is a name, or "
        "`{name: NAME, KEY: VALUE}` with its hyper-parameters, which `kdzoo show METHOD` lists; `knowledge` may be a "
        "list of components, each with a `weight`. An empty default stands for none.",
        RECIPE,
    ),
    "Registry and suite files": (
        "A registry file has `methods` and `suites`, each a mapping from names; `kdzoo bench FILE` also takes a file "
        "with the keys of one suite.",
        REGISTRY,
    ),
}
"""Title -> introduction, models with their titles."""

TESTING = ("examine", "subjects", "Finding")
"""What tests of a plugin use of ``kdzoo.testing``."""

CONSTANTS = {
    "UNLABELLED": "The class id of a sample whose label is withheld; the task loss leaves such samples out.",
    "AutoAugmentName": "Text that names automatic augmentation, such as `rand-m9-mstd0.5-inc1` or `fixmatch`; see "
    "[views](data.md#views).",
    "Reduction": '`"none"` for the loss of each sample, `"mean"` for the mean over the batch.',
}


def reference() -> str:
    """The whole page."""
    by_hand = PAGE.read_text(encoding="utf-8").partition("\n## Hooks\n")[0]
    parts = [by_hand.rstrip() + "\n", "\n".join(_hooks())]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        parts += ["\n".join(_entry(name, getattr(api, name))) for name in names]
    parts.append("## In a training loop of your own\n\nNames of `kdzoo` itself.\n")
    names = [name for name in kdzoo.__all__ if not name.startswith("_")]
    parts += ["\n".join(_entry(name, getattr(kdzoo, name))) for name in names]
    parts.append("## In tests\n\nNames of `kdzoo.testing`.\n")
    parts += ["\n".join(_entry(name, getattr(testing, name))) for name in TESTING]
    for title, (introduction, models) in KEYS.items():
        parts += [f"## {title}\n\n{introduction}\n", "\n".join(tables(models))]
    return "\n".join(parts).rstrip() + "\n"


def _hooks() -> Iterator[str]:
    yield "## Hooks\n"
    yield "Functions of the module that the entry point names, marked with `@hookimpl`. None takes an argument.\n"
    for name, hook in vars(hooks).items():
        if re.fullmatch(r"kdzoo_\w+", name):
            yield f"### `{name}() -> {inspect.signature(hook).return_annotation}`\n"
            yield _prose(inspect.getdoc(hook)) + "\n"


def _entry(name: str, thing: Any) -> Iterator[str]:
    """One name: what it is, its attributes, its methods."""
    if name in CONSTANTS:
        plain = get_args(thing)[0].__name__ if get_origin(thing) is Annotated else repr(thing)
        yield f"### `{name} = {plain}`\n\n{CONSTANTS[name]}\n"
        return
    if not inspect.isclass(thing):
        yield f"### `{name}{_signature(thing)}`\n\n{_prose(inspect.getdoc(thing))}\n"
        return
    fields = f"({', '.join(_fields(thing))})" if dataclasses.is_dataclass(thing) else _made_by(thing)
    yield f"### `{name}{fields}`\n\n{_prose(inspect.getdoc(thing))}\n"
    if not dataclasses.is_dataclass(thing):
        yield from _attributes(name, thing)
    for attribute, meant in thing.__dict__.items():
        described = _member(name, attribute, meant)
        if described:
            yield described


def _made_by(thing: Any) -> str:
    """The arguments of a class that its users make, and neither subclass nor are lent."""
    own = vars(thing).get("__init__")
    others = {*SECTIONS["What you subclass"], *SECTIONS["What you are lent"]}
    if own is None or thing.__name__ in others:
        return ""
    return str(_signature(own).replace(return_annotation=inspect.Signature.empty))


def _fields(thing: Any) -> Iterator[str]:
    for one in dataclasses.fields(thing):
        has_default = one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING
        value = "..." if one.default is dataclasses.MISSING else repr(one.default)
        yield f"{one.name}={value}" if has_default else one.name


def _member(owner: str, name: str, member: Any) -> str | None:
    """A method or property that the class itself documents."""
    public = not name.startswith("_") or name == "__call__"
    function = member.fget if isinstance(member, property) else member
    if not public or not inspect.isfunction(function) or not function.__doc__:
        return None
    label = name if isinstance(member, property) else f"{name}{_signature(function)}"
    must = " (must be written)" if getattr(function, "__isabstractmethod__", False) else ""
    return f"#### `{owner}.{label}`{must}\n\n{_prose(inspect.getdoc(function))}\n"


def _attributes(owner: str, thing: Any) -> Iterator[str]:
    """What the class body declares with a type, and the string below it."""
    (body,) = ast.parse(inspect.getsource(thing)).body
    assert isinstance(body, ast.ClassDef)
    for line, after in zip(body.body, [*body.body[1:], None], strict=True):
        if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
            continue
        declared = ast.unparse(line)
        said = (
            isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and str(after.value.value)
        )
        yield f"#### `{owner}.{declared}`\n" + (f"\n{_prose(inspect.cleandoc(said))}\n" if said else "")


class _Bare(str):
    """An annotation that is shown as it was written, without quotes."""

    __repr__ = str.__str__


def _signature(function: Any) -> inspect.Signature:
    """Its arguments without ``self``."""
    signature = inspect.signature(function)
    return signature.replace(
        parameters=[
            one.replace(annotation=_Bare(one.annotation))
            for key, one in signature.parameters.items()
            if key != "self"
        ],
        return_annotation=_Bare(signature.return_annotation),
    )


def _prose(text: str | None) -> str:
    """A docstring as Markdown: literals, references, and its lists of arguments."""
    lines: list[str] = []
    for line in (text or "").rstrip().splitlines():
        line = re.sub(r":\w+:`([^`]+)`", r"`\1`", line).replace("``", "`")
        if re.fullmatch(r"(Args|Attributes|Returns|Raises):", line):
            lines += [f"{line.removesuffix(':')}:", ""]
        elif re.match(r" {4}[\w*, ]+: ", line) and not line.startswith("     "):
            key, _, meaning = line.strip().partition(": ")
            lines.append(f"- `{key}`: {meaning}")
        elif line.startswith("        "):
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line.strip())
    return "\n".join(lines).strip()


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
