"""The flags of recipes: one table, read against the recipe's own fields."""

import re
from pathlib import Path

import pytest
import typer
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

from kdzoo.cli.flags import FLAGS, layer
from kdzoo.cli.options import field_of, help_of, recipe_flags
from kdzoo.recipe.layers import Merged
from kdzoo.recipe.model import Recipe


def sections(model):
    """The recipe and every section below it."""
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and hasattr(part, "model_fields"):
                yield from sections(part)


def test_every_field_of_the_recipe_is_described():
    for section in sections(Recipe):
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


@pytest.mark.parametrize("name", FLAGS)
def test_the_help_of_distill_says_what_the_field_says(kdzoo, name):
    flag, field = FLAGS[name], field_of(FLAGS[name].key)
    assert field.description[1:] in help_of(flag)
    assert flag.key in help_of(flag)
    if flag.key.startswith("data.augment."):
        assert "default what suits the data" in help_of(flag)
    elif field.default not in (None, False, True, (), PydanticUndefined):
        assert f"default {field.default}" in help_of(flag)


def test_help_has_type_bounds_and_default():
    assert help_of(FLAGS["lr"]) == "Peak learning rate (optim.lr > 0, default 0.002)."
    assert help_of(FLAGS["lr"], "the suite's") == "Peak learning rate (optim.lr > 0, default the suite's)."
    assert "optim.sched = cosine | tanh | poly" in help_of(FLAGS["sched"])
    assert help_of(FLAGS["precision"]).endswith("(precision = bf16-mixed, default 32-true).")


def test_no_form_is_cut_in_eighty_columns(kdzoo, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = kdzoo("distill", "--help").out
    assert {len(line) for line in shown.splitlines() if line.startswith(("│", "╭"))} == {80}
    words = set(re.findall(r"(?<=[\s,])-[\w-]+", shown.replace(",-", ", -")))
    for flag in FLAGS.values():
        for form in flag.typed:
            assert set(form.split("/")) <= words, form
    for panel in ("Networks", "Data", "Optimisation", "Machine"):
        assert f"─ {panel} ─" in shown


def given(arguments):
    """The layers that a command with every flag receives."""
    received = []
    app = typer.Typer()

    @app.command()
    @recipe_flags(FLAGS.values())
    def command(*, layers: list) -> None:
        received.extend(layers)

    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return received


@pytest.mark.parametrize(
    ("arguments", "source", "values"),
    [
        (["--scale", "0.3", "1"], "--scale", {"data": {"augment": {"scale": (0.3, 1.0)}}}),
        (["--aa", "rand-m9-inc1"], "--aa", {"data": {"augment": {"auto_augment": "rand-m9-inc1"}}}),
        (["--recount", "3"], "--recount", {"data": {"augment": {"erase_count": 3}}}),
        (["--lr", "0.1"], "--lr", {"optim": {"lr": 0.1}}),
        (["-b", "8"], "--batch-size", {"data": {"batch_size": 8}}),
        (["-j", "0"], "--workers", {"data": {"workers": 0}}),
        (["--model", "resnet18"], "--student", {"roles": {"student": {"model": "resnet18"}}}),
        (["--pretrained"], "--pretrained", {"roles": {"student": {"pretrained": True}}}),
        (["--student-pretrained"], "--student-pretrained", {"roles": {"student": {"pretrained": True}}}),
        (["--teacher-pretrained"], "--teacher-pretrained", {"roles": {"teacher": {"pretrained": True}}}),
        (["--data-dir", "x"], "--data-dir", {"data": {"data_dir": Path("x")}}),
        (["--amp"], "--amp", {"precision": "bf16-mixed"}),
        (["--torchcompile"], "--torchcompile", {"compile": True}),
        (["--channels-last"], "--channels-last", {"channels_last": True}),
        (["--no-channels-last"], "--channels-last", {"channels_last": False}),
        (["--knowledge", "kd"], "--knowledge", {"knowledge": "kd"}),
        (["--knowledge", "kd", "--knowledge", "at"], "--knowledge", {"knowledge": ["kd", "at"]}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_flag_sets_its_key(arguments, source, values):
    (one,) = given(arguments)
    assert (one.source, one.values) == (source, values)


def test_what_is_not_given_sets_nothing():
    assert given([]) == []
    assert layer(lr=None, epochs=3)[0].values == {"epochs": 3}


def test_errors_name_the_flag_that_was_typed(kdzoo):
    refused = kdzoo("distill", "--method", "baseline", "--student", "test_resnet", "-b", "0")
    assert refused.err == "kdzoo: --batch-size: data.batch_size: Input should be greater than 0, not 0\n"
    merged = Merged()
    for one in given(["--amp"]):
        merged.add(one)
    assert merged.source("precision") == "--amp"
