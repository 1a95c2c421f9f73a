"""Every public function of the plugins refuses a word that one of its options does not have."""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch

import kdzoo.api
from kdzoo.api import hooks

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/kdzoo_*/__init__.py"))

torch.manual_seed(0)
LOGITS, MAP = torch.randn(4, 5), torch.rand(4, 3, 6, 6)
EXAMPLES: dict[str, tuple[Any, ...]] = {
    "target": (torch.tensor([0, 1, 2, 4]),),
    "classes": (5,),
    "edge_index": (torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]),),
    "epsilon": (0.1,),
    "ratio": (0.5,),
    "generator": (None,),
    "negatives": (2,),
    "links": (torch.rand(4, 2, 2),),
    "attention": (torch.rand(4, 2, 2),),
    "projected": ([[MAP, MAP], [MAP, MAP]],),
    "variance": (torch.ones(3),),
    "temperature": (2.0, torch.ones(1)),
    "margin": (-torch.ones(3),),
    "mask": (MAP[:, :1] > 0,),
}
"""Arguments by their names; others are logits, maps, or lists of either."""

OTHERS = (LOGITS, MAP, [LOGITS, LOGITS], [MAP, MAP], MAP[:, 0], LOGITS[:, 0])


def functions() -> Iterator[Callable[..., Any]]:
    for package in PACKAGES:
        try:
            module = importlib.import_module(f"{package}.functional")
        except ModuleNotFoundError:
            continue
        names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
        for name in names:
            one = getattr(module, name)
            if inspect.isfunction(one) and one.__module__.startswith(package):
                yield one
    for name in kdzoo.api.__all__:
        one = getattr(kdzoo.api, name)
        if inspect.isfunction(one) and one is not hooks.hookimpl:
            yield one


def options() -> Iterator[Any]:
    for function in functions():
        for name, hint in get_type_hints(function).items():
            if get_origin(hint) is Literal:
                yield pytest.param(
                    function, name, get_args(hint), id=f"{function.__module__}.{function.__name__}-{name}"
                )


def arguments(function: Callable[..., Any], option: str, accepted: tuple[Any, ...]) -> dict[str, Any]:
    """Arguments with which the function takes each of the option's words."""
    needed = {
        name: EXAMPLES.get(name, OTHERS)
        for name, one in inspect.signature(function).parameters.items()
        if (one.default is one.empty or name.endswith("_map")) and name != option
    }
    for values in itertools.product(*needed.values()):
        given = dict(zip(needed, values, strict=True))
        try:
            for word in accepted:
                function(**given, **{option: word})
        except (ValueError, RuntimeError, TypeError, AttributeError, IndexError):
            continue
        return given
    pytest.fail(f"no example fits {function.__name__}: add one to EXAMPLES")


@pytest.mark.parametrize(("function", "option", "accepted"), list(options()))
def test_an_unknown_word_is_refused(function, option, accepted):
    given = arguments(function, option, accepted)
    for wrong in ("no such word", None):
        with pytest.raises(ValueError, match=f"{option} must be .*not {re.escape(repr(wrong))}") as refused:
            function(**given, **{option: wrong})
        assert all(repr(word) in str(refused.value) for word in accepted)


def test_the_options_of_all_packages_are_found():
    assert len(list(options())) >= 50
