"""What decides the numbers of a run, and how a difference is said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.component import Component
from kdzoo.recipe.decides import EFFECTS, DataFacts, Effect, identify, series
from kdzoo.recipe.identity import Difference, Differs, Identity, read_identity
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.roles import RoleConfig
from kdzoo.recipe.section import Section

FACTS = DataFacts("pixels " + "ab" * 32, 32, AugmentConfig(crop=2))
PLUGINS = {"knowledge.kd": "kdzoo-response 0.1", "scheme.offline": "kdzoo 0.1"}


def sections(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """The dotted name of every field of the recipe; components, sections of a role and plain values are leaves."""
    for key, field in model.model_fields.items():
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        nested = next((one for one in inner if isinstance(one, type) and issubclass(one, Section)), None)
        if nested is RoleConfig:
            yield from sections(nested, f"{above}{key}.*.")
        elif nested is None or issubclass(nested, Component) or above.startswith("roles."):
            yield above + key
        else:
            yield from sections(nested, f"{above}{key}.")


NUMBERS = [
    "knowledge",
    "scheme",
    "algorithm",
    "roles.*.model",
    "roles.*.pretrained",
    "roles.*.train",
    "roles.*.head",
    "roles.*.label_names",
    "roles.*.mean",
    "roles.*.std",
    "roles.*.img_size",
    "roles.*.modality",
    "roles.*.drop_path",
    "roles.*.kwargs",
    "data.img_size",
    "data.canvas",
    "data.val_fraction",
    "data.split_seed",
    "data.train_per_class",
    "data.test_per_class",
    "data.labels_per_class",
    "data.sampling",
    "data.class_weights",
    "data.withhold_train",
    "data.batch_size",
    "data.drop_last",
    "data.views",
    "data.augment.crop",
    "data.augment.crop_padding",
    "data.augment.scale",
    "data.augment.ratio",
    "data.augment.interpolation",
    "data.augment.hflip",
    "data.augment.vflip",
    "data.augment.rotate",
    "data.augment.auto_augment",
    "data.augment.color",
    "data.augment.hue",
    "data.augment.color_prob",
    "data.augment.grey",
    "data.augment.blur",
    "data.augment.blur_sigma",
    "data.augment.solarize",
    "data.augment.erase",
    "data.augment.erase_mode",
    "data.augment.erase_count",
    "data.augment.erase_area",
    "data.augment.erase_ratio",
    "data.augment.repeats",
    "data.augment.mixup",
    "data.augment.cutmix",
    "data.augment.mixup_prob",
    "data.augment.mixup_switch_prob",
    "data.augment.mixup_mode",
    "data.computed",
    "optim.opt",
    "optim.lr",
    "optim.weight_decay",
    "optim.filter_bias_and_bn",
    "optim.layer_decay",
    "optim.momentum",
    "optim.opt_kwargs",
    "optim.sched",
    "optim.warmup_epochs",
    "optim.warmup_lr",
    "optim.min_lr",
    "optim.decay_epochs",
    "optim.decay_rate",
    "optim.clip_grad",
    "optim.grad_accum_steps",
    "model_ema.decay",
    "model_ema.warmup",
    "early_stopping.patience",
    "early_stopping.metric",
    "epochs",
    "seed",
    "smoothing",
    "precision",
    "channels_last",
    "compile",
    "deterministic",
]
"""Fields that decide the weights and the figures of a run; a new field belongs here or to EFFECTS."""


def test_every_field_of_the_recipe_is_classified_once() -> None:
    found = list(sections(Recipe))
    assert len(found) > 50
    assert sorted(found) == sorted([*EFFECTS, *NUMBERS])


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "kdzoo": "0.1.0",
        "method": "kd",
        "knowledge": {"name": "kd", "temperature": 4.0},
        "scheme": "offline",
        "algorithm": "distill",
        "roles": {"teacher": "test_resnet", "student": "test_efficientnet"},
        "data": {},
        "optim": {},
    }
    for name, value in changes.items():
        *above, last = name.split("__")
        at = values
        for part in above:
            at[part] = at = dict(at[part]) if isinstance(at[part], dict) else {"model": at[part]}
        at[last] = value
    return Recipe.model_validate(values)


def key(one: Recipe, **more: Any) -> str:
    return identify(one, **{"data": FACTS, "plugins": PLUGINS, "kdzoo": "0.1.0", **more}).key


@pytest.mark.parametrize(
    "changes",
    [
        {"kdzoo": "0.1.7"},
        {"method": "mine"},
        {"observers": []},
        {"checkpoint_seconds": 1.0},
        {"data__workers": 3},
        {"data__cache_gb": 9.0},
        {"data__bad_images": 0.5},
        {"data__data_dir": "/some/where"},
        {"data__augment": {"crop": 2}},
        {"data__img_size": 32},
        {"data__paired": {"depth": "/some/where"}},
        {"roles__teacher__epochs": 20},
        {"roles__teacher__optim": {"opt": "adamw", "lr": 2e-3}},
        {"roles__student__epochs": 5},
        {"roles__student__lr": 5},
        {"roles__student__seed": 5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_decides_no_number_is_not_in_the_key(changes: dict[str, Any]) -> None:
    assert key(recipe(**changes)) == key(recipe())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optim__lr": 0.001}, ["optim.lr was 0.002 and is 0.001 now"]),
        ({"knowledge__temperature": 2.0}, ["knowledge.temperature was 4.0 and is 2.0 now"]),
        ({"knowledge": None}, ["knowledge.name was kd and is not set now", "knowledge.temperature was 4.0"]),
        ({"algorithm": "pretrain"}, ["algorithm.name was distill and is pretrain now"]),
        ({"roles__student": "test_vit"}, ["roles.student.model was test_efficientnet and is test_vit now"]),
        ({"roles__student__kwargs": {"depth": 2}}, ["roles.student.kwargs.depth was not set and is 2 now"]),
        ({"epochs": 3}, ["epochs was 20 and is 3 now"]),
        ({"roles__teacher__epochs": 3}, ["roles.teacher.epochs was 20 and is 3 now"]),
        ({"roles__teacher__seed": 3}, ["roles.teacher.seed was 0 and is 3 now"]),
        ({"roles__teacher__optim": {"lr": 0.1}}, ["roles.teacher.lr was 0.002 and is 0.1 now"]),
        ({"roles__teacher__optim": {"opt": "sgd"}}, ["roles.teacher.optim.opt was not set and is sgd now"]),
        ({"roles__teacher__augment": {}}, ["roles.teacher.augment was not set and is {} now"]),
        ({"data__batch_size": 64}, ["data.batch_size was 128 and is 64 now"]),
        ({"data__computed": {"heat": "heat"}}, ["data.computed.heat was not set and is heat now"]),
        ({"seed": 1}, ["seed was 0 and is 1 now"]),
        ({"precision": "bf16-mixed"}, ["precision was 32-true and is bf16-mixed now"]),
        ({"eval_every": 2}, ["eval_every was 1 and is 2 now"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_kind_of_difference_is_named(changes: dict[str, Any], said: list[str]) -> None:
    before, now = (
        identify(one, data=FACTS, plugins=PLUGINS, kdzoo="0.1.0") for one in (recipe(), recipe(**changes))
    )
    assert now.key != before.key
    differences = [str(one) for one in now.differences(before)]
    assert len(differences) == len(said)
    for found, expected in zip(sorted(differences), sorted(said), strict=True):
        assert found.startswith(expected)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"kdzoo": "0.2.0"}, "kdzoo was kdzoo 0.1 and is kdzoo 0.2 now"),
        ({"processes": 2}, "processes was 1 and is 2 now"),
        (
            {"plugins": {**PLUGINS, "knowledge.kd": "else 1.2.3"}},
            "plugins.knowledge.kd was kdzoo-response 0.1 and is else 1.2.3 now",
        ),
        (
            {"data": DataFacts("pixels " + "cd" * 32, 32, FACTS.augment)},
            "data.content was pixels abababab and is pixels cdcdcdcd now",
        ),
        (
            {"data": DataFacts("pixels " + "cd" * 32, 64, FACTS.augment)},
            "data.img_size was 32 and is 64 now",  # from which another content follows
        ),
    ],
)
def test_what_the_recipe_does_not_say_is_named_too(more: dict[str, Any], said: str) -> None:
    known: dict[str, Any] = {"data": FACTS, "plugins": PLUGINS, "kdzoo": "0.1.0"}
    before, now = identify(recipe(), **known), identify(recipe(), **{**known, **more})
    assert now.key != before.key
    assert [str(one) for one in now.differences(before)] == [said]


def test_a_patch_version_of_the_core_does_not_count() -> None:
    assert key(recipe(), kdzoo="0.1.0") == key(recipe(), kdzoo="0.1.9") == key(recipe(), kdzoo="0.1.9.dev3")
    assert key(recipe(), kdzoo="0.1.0") != key(recipe(), kdzoo="0.2.0")
    assert [series(one) for one in ("1.2.3", "0.4", "2", "odd")] == ["1.2", "0.4", "2.0", "odd"]


def test_when_one_looks_does_not_change_the_weights() -> None:
    seldom = recipe(eval_every=5)
    assert key(seldom) != key(recipe())
    assert key(seldom, weights_only=True) == key(recipe(), weights_only=True)


def test_a_note_is_no_part_of_the_key() -> None:
    assert key(recipe(), notes={"torch": "2.8"}) == key(recipe(), notes={"torch": "2.9"})


def test_weights_are_known_by_their_content(tmp_path: Path) -> None:
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "README.md").write_text(name)

    def by(role: str, **config: Any) -> str:
        return key(recipe(**{f"roles__{role}": {"model": "test_resnet", **config}}))

    folders = [by("teacher", checkpoint=tmp_path / name) for name in "abc"]
    assert folders[0] == folders[1] != folders[2]
    # a folder also says how its network sees images
    assert folders[0] != by("teacher", checkpoint=tmp_path / "a" / "model.safetensors")
    given = [by("student", weights=f"{prefix}{tmp_path / 'a'}") for prefix in ("", "local-dir:")]
    assert given[0] == given[1] == by("student", weights=str(tmp_path / "b"))
    assert given[0] != by("student", weights=str(tmp_path / "c"))
    models = [by("student", model=f"local-dir:{tmp_path / name}") for name in "abc"]
    assert models[0] == models[1] != models[2]
    # how a teacher would be trained says nothing about one that has weights
    assert folders[0] == by("teacher", checkpoint=tmp_path / "b", epochs=9, seed=4, lr=1)
    frozen = {"weights": str(tmp_path / "b"), "train": "never"}
    assert by("teacher", **frozen) == by("teacher", **frozen, epochs=9, seed=4, lr=1)
    headed = {**frozen, "train": "head"}
    assert by("teacher", **headed) != by("teacher", **headed, epochs=9)


def test_a_file_that_a_component_reads_is_known_by_its_content(tmp_path: Path) -> None:
    for name, content in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / name).write_text(content)
    a, b, c = (key(recipe(scheme=Component(name="x", settings={"file": tmp_path / name}))) for name in "abc")
    assert a == b != c


def test_a_sum_of_knowledges_is_known_by_its_parts_their_weights_and_their_order() -> None:
    kd, at = {"name": "kd", "temperature": 4.0}, {"name": "at", "settings": {"weight": 2}}
    both = identify(recipe(knowledge=[kd, at]), data=FACTS, plugins=PLUGINS)
    assert {name: value for name, value in both.fields.items() if name.startswith("knowledge")} == {
        "knowledge": ["kd", "at"],
        "knowledge.kd.name": "kd",
        "knowledge.kd.weight": 1.0,
        "knowledge.kd.temperature": 4.0,
        "knowledge.at.name": "at",
        "knowledge.at.weight": 1.0,
        "knowledge.at.settings.weight": 2,
    }
    heavier = identify(recipe(knowledge=[{**kd, "weight": 0.5}, at]), data=FACTS, plugins=PLUGINS)
    assert [str(one) for one in heavier.differences(both)] == ["knowledge.kd.weight was 1.0 and is 0.5 now"]
    assert key(recipe(knowledge=[at, kd])) != key(recipe(knowledge=[kd, at]))
    assert (
        key(recipe(knowledge=[kd]))
        == key(recipe(knowledge=kd))
        != key(recipe(knowledge=[{**kd, "weight": 2}]))
    )


def test_an_identity_is_read_back_as_it_was(tmp_path: Path) -> None:
    one = identify(recipe(), data=FACTS, plugins=PLUGINS, notes={"torch": "2.8"})
    one.write(tmp_path)
    assert read_identity(tmp_path) == one
    assert read_identity(tmp_path / "none") is None
    (tmp_path / "identity.json").write_text('{"fields": 3}')
    assert read_identity(tmp_path) is None


def test_without_the_data_what_is_known_can_be_compared() -> None:
    before = identify(recipe(), data=FACTS, plugins=PLUGINS)
    now = identify(recipe(seed=3), data=None, plugins=PLUGINS, processes=None)
    assert [one.field for one in now.differences(before, known=True)] == ["seed"]


@pytest.mark.parametrize(
    ("fields", "flags", "text"),
    [
        (["optim.lr"], {"optim.lr": "--lr"}, "resume without --lr, or take another --output"),
        (["knowledge.temperature"], {"knowledge": "--knowledge"}, "resume without --knowledge, or take"),
        (["seed"], {}, "resume with the recipe.yaml beside it, or take another --output"),
        (["data.content"], {"data.data_dir": "--data-dir"}, "restore the data, or take"),
        (["roles.teacher.weights"], {}, "restore the weights, or take"),
        (["plugins.knowledge.kd"], {}, "install old again, or take"),
        (["processes"], {}, "resume in old processes, or take"),
        (
            ["optim.lr", "seed"],
            {"optim.lr": "--lr"},
            "resume without --lr, resume with the recipe.yaml beside it, or",
        ),
    ],
)
def test_the_message_says_what_to_do(fields: list[str], flags: dict[str, str], text: str) -> None:
    differences = [Difference(name, "old", "new") for name in fields]
    error = Differs("runs/x: cannot resume", differences).with_flags(flags)
    assert str(error).startswith(f"runs/x: cannot resume: {fields[0]} was old and is new now")
    assert f"; {text}" in str(error)


def test_of_many_differences_three_are_named_and_the_rest_is_counted() -> None:
    before = Identity(dict.fromkeys("abcde", 1))
    now = Identity(dict.fromkeys("abcde", 2))
    text = str(Differs("x", now.differences(before)))
    assert text.startswith(
        "x: a was 1 and is 2 now, b was 1 and is 2 now, c was 1 and is 2 now, and 2 more differ;"
    )


def test_only_what_is_classified_as_content_may_be_a_path() -> None:
    paths = {name for name, effect in EFFECTS.items() if effect is Effect.CONTENT}
    assert {"roles.*.checkpoint", "data.data_dir", "data.paired"} <= paths
