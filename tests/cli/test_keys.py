"""``--KEY=VALUE`` for the keys of the recipe, as wandb's agents pass them."""

import pytest
import yaml

from kdzoo.cli.keys import as_set

OWN = {"--epochs", "--set", "-b", "--registry"}


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("--knowledge.temperature=2", "--set=knowledge.temperature=2"),
        ("--optim.opt_kwargs.eps=1e-8", "--set=optim.opt_kwargs.eps=1e-8"),
        ("--eval_every=3", "--set=eval_every=3"),
        ("--knowlege.temperature=2", "--set=knowlege.temperature=2"),
        ("--epochs=3", "--epochs=3"),
        ("--epoch=3", "--epoch=3"),
        ("--registry=a.yaml", "--registry=a.yaml"),
        ("--knowledge.temperature", "--knowledge.temperature"),
        ("-b=2", "-b=2"),
        ("a.b=c", "a.b=c"),
    ],
)
def test_a_key_of_the_recipe_is_set_and_the_rest_is_left(typed, read):
    assert list(as_set([typed], OWN)) == [read]


def test_nothing_is_an_option_after_two_dashes():
    assert list(as_set(["--a.b=1", "--", "--a.b=2"], OWN)) == ["--set=a.b=1", "--", "--a.b=2"]


def test_distill_and_bench_take_them(kdzoo, tmp_path):
    networks = ("--teacher", "test_resnet", "--student", "test_efficientnet")
    small = ("--observers=[]", "--data.train_per_class=2", "--data.test_per_class=1", "--data.val_fraction=0")
    answer = kdzoo(
        "distill", "--method", "kd", *networks, "--epochs=1", *small, "--knowledge.temperature=2.5", "--output",
        tmp_path / "run", "--quiet",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    recipe = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert (recipe["knowledge"]["temperature"], recipe["observers"]) == (2.5, [])
    refusal = kdzoo(
        "bench", "quick", "--optim.weight_dcay=2", "--methods", "kd", "--output", tmp_path / "suite"
    )
    assert (refusal.code, refusal.err.count("\n")) == (2, 1)
    assert "did you mean optim.weight_decay" in refusal.err
    assert not (tmp_path / "suite").exists()
