"""The reference is complete, and says what the docstrings say."""

import importlib.util
import re
from pathlib import Path

import pytest

from kdzoo import api
from kdzoo.api import hooks
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.optim import OptimConfig
from kdzoo.recipe.roles import RoleConfig
from kdzoo.registry.model import Method, Pair, Suite

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference.md").read_text()


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_of_the_api_is_in_it(name):
    wanted = rf"^### `{name}\b" if name != "hookimpl" else r"`@hookimpl`"
    assert re.search(wanted, REFERENCE, re.MULTILINE)


def test_every_hook_is_in_it():
    for name in vars(hooks):
        if re.fullmatch(r"kdzoo_\w+", name):
            assert f"### `{name}()" in REFERENCE


def test_every_member_that_a_plugin_meets_is_described():
    for name in ("Knowledge", "Scheme", "Algorithm", "Observer", "Run", "Data"):
        for member in vars(getattr(api, name)):
            if not member.startswith("_") and callable(getattr(getattr(api, name), member)):
                assert f"#### `{name}.{member}" in REFERENCE, f"{name}.{member} has no docstring"


@pytest.mark.parametrize("model", [Recipe, RoleConfig, DataConfig, OptimConfig, Method, Suite, Pair])
def test_every_key_of_recipes_and_registry_files_is_described(model):
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name} has no description"
        row = rf"^\| `{name}` \|.*\| {re.escape(field.description)} \|$"
        assert re.search(row, REFERENCE, re.MULTILINE), f"{model.__name__}.{name}"


def test_it_is_what_the_docstrings_make(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))  # where it finds make_fields
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.reference() == REFERENCE, "run: python docs/make_reference.py"
