"""A recipe's knowledge as a list with weights: in files, in layers, on the command line."""

import pytest

from kdzoo.api import KdzooError
from kdzoo.cli.flags import layer
from kdzoo.recipe.layers import Layer, parse_set
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.writing import dump, write
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo()


def go(zoo, *assign, method="kd", file=None, layers=()) -> Recipe:
    names = layer(teacher="test_resnet", student="test_efficientnet")
    return resolve(
        zoo=zoo,
        registry=load_registry(zoo),
        method=method,
        file=file,
        layers=[*names, *layers, Layer("--set", parse_set(assign))],
    )


def named(recipe):
    return {one.name: one.weight for one in recipe.knowledge}


def test_names_on_the_command_line_are_a_sum_and_keep_what_the_method_says(zoo):
    flags = Layer("--knowledge", {"knowledge": ["kd", "at"]})
    recipe = go(zoo, "knowledge.at.weight=1000", "knowledge.kd.temperature=2", method="lskd", layers=[flags])
    assert named(recipe) == {"kd": 1.0, "at": 1000.0}
    assert recipe.knowledge[0].settings["temperature"] == 2.0
    assert recipe.knowledge[0].settings["standardize"] is True, "of lskd"


def test_a_list_in_yaml(zoo):
    recipe = go(zoo, "knowledge=[{name: kd, weight: 0.9}, {name: crd, weight: 0.8, negatives: 10}]")
    assert named(recipe) == {"kd": 0.9, "crd": 0.8}
    assert recipe.knowledge[1].settings["negatives"] == 10


def test_a_method_of_the_registry_is_a_sum(zoo):
    recipe = go(zoo, "knowledge.kd.weight=0.5", method="crd-kd")
    assert named(recipe) == {"crd": 0.8, "kd": 0.5}
    assert recipe.knowledge[0].settings["negatives"] == 16384


def test_a_sum_is_written_and_read_back(zoo, tmp_path):
    recipe = go(zoo, method="at-kd")
    write(recipe, tmp_path / "recipe.yaml")
    assert go(zoo, method=None, file=tmp_path / "recipe.yaml") == recipe


def test_a_single_knowledge_stays_short(zoo):
    assert dump(go(zoo))["knowledge"] == {"name": "kd", "temperature": 4.0, "standardize": False}
    assert dump(go(zoo, method="baseline"))["knowledge"] is None


def test_one_knowledge_after_a_sum_is_that_one_with_its_settings(zoo):
    recipe = go(zoo, "knowledge=crd", method="crd-kd")
    assert named(recipe) == {"crd": 1.0}
    assert recipe.knowledge[0].settings["negatives"] == 16384


def test_a_single_one_can_be_weighed_by_its_name(zoo):
    recipe = go(zoo, "knowledge.kd.weight=0.5")
    assert named(recipe) == {"kd": 0.5}
    assert isinstance(dump(recipe)["knowledge"], list)


@pytest.mark.parametrize(
    ("assign", "says"),
    [
        ("knowledge=[kd, kd]", "--set: knowledge: names 'kd' twice"),
        ("knowledge=[kd, 3]", "knowledge: expected names, or mappings with a name, not 3"),
        ("knowledge=[kd, dkdd]", "unknown knowledge 'dkdd'; did you mean"),
        (
            "knowledge=[{name: kd, weight: -1}, rkd]",
            "knowledge.kd.weight: .*greater than or equal to 0, not -1",
        ),
        ("knowledge=[{name: kd, temperature: -1}, rkd]", r"knowledge.kd.temperature \(kd\): .*not -1"),
    ],
)
def test_a_bad_sum_is_one_line_that_names_the_part(zoo, assign, says):
    with pytest.raises(KdzooError, match=says) as caught:
        go(zoo, assign)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("assign", "says"),
    [
        ("knowledge.rkd.weight=2", "--set: unknown knowledge in the sum 'rkd'"),
        ("knowledge.kd=2", "--set: knowledge.kd: expected keys such as knowledge.kd.weight"),
    ],
)
def test_a_part_that_is_not_there_is_refused(zoo, assign, says):
    with pytest.raises(KdzooError, match=says):
        go(zoo, assign, method="crd-kd")
