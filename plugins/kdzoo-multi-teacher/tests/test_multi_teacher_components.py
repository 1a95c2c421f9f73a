"""The schemes and algorithms in a run on made-up images; `make_run` is a small recipe on digits."""

import subprocess
import sys

import pytest
import torch

import kdzoo_multi_teacher
from kdzoo.api import KdzooError
from kdzoo.cli.flags import layer
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.watch import KeepRun
from kdzoo.zoo import Zoo
from kdzoo_multi_teacher.functional import confidence_weights, merge_partitions
from kdzoo_multi_teacher.specialists import Specialists

SMALL = {
    "epochs": 1, "batch_size": 16, "train_per_class": 8, "test_per_class": 4, "student": "test_byobnet",
    "teacher": "test_resnet", "teacher_epochs": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def distil(tmp_path_factory):
    """distil("avg", **settings) -> the run after training on a few digits."""
    zoo = Zoo()

    def run(method, **settings):
        basic = layer(**SMALL)
        quiet = {"observers": [], "checkpoint_seconds": 1e9, **settings}
        recipe = resolve(
            zoo=zoo, registry=load_registry(zoo), method=method, layers=[*basic, Layer("test", dotted(quiet))]
        )
        keep = KeepRun()
        result = train(recipe, tmp_path_factory.mktemp("run") / "run", zoo=zoo, listeners=[keep])
        return keep.run, result

    return run


def test_the_plugin_announces_itself_without_torch():
    schemes = list(kdzoo_multi_teacher.kdzoo_schemes())
    assert schemes == ["average", "entropy-weighted", "confidence-aware", "adaptive"]
    script = "import sys, kdzoo_multi_teacher; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_teachers_come_from_initialisations_of_their_own_and_stay_as_they_are(distil):
    run, result = distil("avg", **{"scheme.teachers": 3})
    first = [run.roles[f"teacher{number}"].model.fc.weight for number in (1, 2, 3)]
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[1], first[2])
    for role in ("teacher1", "teacher2", "teacher3"):
        assert not any(module.training for module in run.roles[role].modules())
        assert f"test/{role}" in result


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_an_ensemble_is_one_derived_teacher(distil, average):
    run, _ = distil("avg", **{"scheme.average": average})
    batch = next(iter(run.data.test))
    assert [lesson.teacher for lesson in run.scheme.lessons(run, batch)] == ["ensemble"]
    said = [run.see(f"teacher{number}", batch).logits for number in (1, 2)]
    merged = run.see("ensemble", batch).logits
    expected = sum(said) / 2 if average == "logits" else sum(one.softmax(1) for one in said) / 2
    torch.testing.assert_close(merged if average == "logits" else merged.softmax(1), expected)


def test_confidence_weighs_each_sample_by_its_label(distil):
    run, _ = distil("ca-mkd")
    batch = next(iter(run.data.test))
    weights = [lesson.weight for lesson in run.scheme.lessons(run, batch)]
    said = [run.see(f"teacher{number}", batch).logits for number in (1, 2)]
    torch.testing.assert_close(torch.stack(weights), confidence_weights(said, batch.target))
    assert all(weight.shape == (len(batch),) for weight in weights)


def test_hints_have_parameters_that_learn_and_teachers_heads_that_do_not(distil):
    run, _ = distil("ca-mkd")
    for number in (1, 2):
        hint, teacher = run.roles[f"hint-teacher{number}"], run.roles[f"teacher{number}"]
        own = {id(parameter) for parameter in hint.parameters()}
        assert own
        assert not own & {id(parameter) for parameter in teacher.parameters()}
        optimizer = run.members[f"hint-teacher{number}"].optimizer
        assert all(optimizer.state[parameter] for parameter in hint.parameters()), "each was stepped"
        assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert run.students == ("student",)


def test_confidence_refuses_blended_labels(distil):
    with pytest.raises(KdzooError, match="mixup or cutmix"):
        distil("ca-mkd", **{"data.augment": {"mixup": 0.4}, "algorithm.feature_weight": 0.0})


def test_specialists_are_merged_into_the_teacher_and_are_not_exported(distil):
    run, result = distil("specialists", **{"algorithm.groups": ((0, 1, 2), (3, 4))})
    assert run.roles["specialist1"].num_classes == 4
    assert run.roles["specialist2"].num_classes == 3
    assert "teacher" not in run.roles, "the merged target has its place"
    assert "test/specialist1" not in result, "it does not answer the whole task"
    assert 0 < result["test/merged"] <= 100
    with run.measuring():
        batch = next(iter(run.data.test))
        merged = run.see("teacher", batch).logits.exp()
        general = run.see("generalist", batch).logits.softmax(1)
        said = [run.see(f"specialist{number}", batch).logits.softmax(1) for number in (1, 2)]
    torch.testing.assert_close(merged.sum(1), torch.ones(len(batch)), atol=1e-4, rtol=0)
    nobody = general.argmax(1) > 4
    torch.testing.assert_close(merged[nobody], general[nobody], atol=1e-4, rtol=1e-3)
    members = torch.zeros(3, 10, dtype=torch.bool)
    members[0, :3] = members[1, 3:5] = members[2] = True
    asked = members[:, general.argmax(1)].T
    expected = merge_partitions([*said, general], [range(3), range(3, 5), range(10)], 10, active=asked)
    torch.testing.assert_close(merged, expected, atol=1e-5, rtol=1e-3)


def test_confusable_classes_are_clustered_once_and_kept_for_a_resume(distil):
    run, _ = distil("specialists", **{"algorithm.specialists": 3})
    groups = run.state["specialists/groups"]
    assert sorted(number for group in groups for number in group) == list(range(10))
    assert len(groups) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": ((0, 1), (2, 10))}, "class ids 0 to 9"),
        ({"groups": ((0, 1), (2, 3)), "generalist": False}, "leave out 4, 5, 6, 7, 8, 9"),
        ({"specialists": 10}, "at most 9 groups"),
    ],
)
def test_groups_that_make_no_sense_are_refused(distil, settings, message):
    with pytest.raises(KdzooError, match=message):
        distil("specialists", **{f"algorithm.{key}": value for key, value in settings.items()})


def test_defaults_need_no_label_in_the_last_phase():
    assert Specialists().task_weight == 0
