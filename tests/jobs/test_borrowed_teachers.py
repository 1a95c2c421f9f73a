"""Teachers that somebody else trained, and networks without a classifier, from the recipe to the exported student."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import save_for_hf

from kdzoo.errors import KdzooError
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.writing import write
from kdzoo.zoo import Zoo
from tests.jobs.runs import small, student_hash, teachers

FEW = {"data.train_per_class": 6, "data.test_per_class": 4, "data.batch_size": 8}
DIGITS = tuple("0123456789")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that knows digits, in timm's layout, with the student's folder of a run."""
    folder = tmp_path_factory.mktemp("trained")
    settings = {"roles.student.model": "test_resnet", "epochs": 8, "data.batch_size": 32}
    train(small("baseline", **settings), folder / "run", zoo=Zoo())
    return folder / "run" / "student"


def saved(folder: Path, names: tuple[str, ...], weights: dict[str, Any] | None = None) -> Path:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=len(names), in_chans=1)
    model.load_state_dict(weights or model.state_dict())
    described = {"label_names": list(names), "pretrained_cfg": {"input_size": (1, 32, 32)}}
    save_for_hf(model, str(folder), model_config=described, safe_serialization=True)
    return folder


def said(folder: Path, kind: str = "note") -> list[str]:
    return [row["message"] for row in read_journal(folder / "metrics.jsonl") if row["event"] == kind]


def run(tmp_path: Path, method: str, name: str = "run", **settings: Any) -> dict[str, Any]:
    return dict(train(small(method, **{**FEW, **settings}), tmp_path / name, zoo=Zoo()))


def test_a_teacher_of_other_classes_teaches_features_as_it_is(tmp_path: Path, cache: Path) -> None:
    weights = saved(tmp_path / "saved", ("ant", "bee"))
    result = run(tmp_path, "fitnet", **{"roles.teacher.weights": str(weights)})
    assert not (cache / "teachers").exists(), "nothing was trained"
    assert "test/teacher" not in result
    assert result["teacher_path"] == str(weights)
    (note,) = (line for line in said(tmp_path / "run") if line.startswith("teacher is"))
    assert note == "teacher is used without a classifier: its 2 classes are not the data's"


def test_where_logits_are_read_it_gets_a_new_head_once(tmp_path: Path, cache: Path) -> None:
    weights = saved(tmp_path / "saved", ("ant", "bee"))
    for name in ("one", "two"):
        run(tmp_path, "kd", name, **{"roles.teacher.weights": str(weights)})
    (folder,) = teachers(cache)
    before = timm.create_model(f"local-dir:{weights}", pretrained=True).state_dict()
    after = timm.create_model(f"local-dir:{folder / 'student'}", pretrained=True).state_dict()
    changed = [name for name in before if before[name].shape != after[name].shape]
    assert changed == ["fc.weight", "fc.bias"]
    assert all(torch.equal(before[name], after[name]) for name in before if name not in changed)
    assert any(
        "a new linear head is trained on its frozen features" in line for line in said(tmp_path / "one")
    )
    assert any("so its head is new" in line for line in said(folder))


def test_never_refuses_where_logits_are_read(tmp_path: Path) -> None:
    weights = saved(tmp_path / "saved", ("ant", "bee"))
    with pytest.raises(KdzooError, match=r"roles\.teacher\.train=never: its weights are for 2 classes"):
        run(tmp_path, "kd", **{"roles.teacher.weights": str(weights), "roles.teacher.train": "never"})
    assert not (tmp_path / "run").exists()


def test_a_teacher_without_its_head_refuses_where_logits_are_read(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(KdzooError, match=r"the teacher has no classifier.*--set roles\.teacher\.head=true"):
        run(tmp_path, "kd", **{"roles.teacher.weights": str(trained), "roles.teacher.head": False})


def test_classes_are_put_in_order_by_name(tmp_path: Path, trained: Path) -> None:
    """The teacher with permuted rows and names is the teacher: the student's bits are the same."""
    state = timm.create_model(f"local-dir:{trained}", pretrained=True).state_dict()
    rows = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    permuted = {**state, "fc.weight": state["fc.weight"][rows], "fc.bias": state["fc.bias"][rows]}
    weights = saved(tmp_path / "saved", tuple(DIGITS[row] for row in rows), permuted)
    plain = run(tmp_path, "kd", "plain", **{"roles.teacher.weights": str(trained)})
    for name, key in (("weights", "weights"), ("checkpoint", "checkpoint")):
        ordered = run(tmp_path, "kd", name, **{f"roles.teacher.{key}": str(weights)})
        assert ordered["test/teacher"] == plain["test/teacher"] > 60
        assert student_hash(tmp_path / name) == student_hash(tmp_path / "plain")
    assert any("put in the order of the data's classes" in line for line in said(tmp_path / "weights"))


def test_a_wrong_order_is_refused_and_the_right_one_suggested(tmp_path: Path, trained: Path) -> None:
    state = timm.create_model(f"local-dir:{trained}", pretrained=True).state_dict()
    rolled = {name: one.roll(1, 0) if name.startswith("fc.") else one for name, one in state.items()}
    torch.save(rolled, tmp_path / "rolled.pth")
    given = {"roles.teacher.weights": str(tmp_path / "rolled.pth"), "data.train_per_class": None}
    with pytest.raises(KdzooError, match=r"where chance is 10\.0 %") as refused:
        run(tmp_path, "kd", **given)
    order = f"[{', '.join(DIGITS[-1:] + DIGITS[:-1])}]"
    assert f"In the order {order} of its classes it would be right for" in str(refused.value)
    assert "--set roles.teacher.trust=true" in str(refused.value)
    few = {**given, "data.train_per_class": 60}
    run(tmp_path, "kd", "named", **few, **{"roles.teacher.label_names": DIGITS[-1:] + DIGITS[:-1]})
    run(tmp_path, "kd", "trusted", **few, **{"roles.teacher.trust": True})


def test_a_student_without_a_classifier_is_the_start_of_one(tmp_path: Path, trained: Path) -> None:
    """First features without labels, then the task, from the folder that the first run wrote."""
    settings = {
        "roles.teacher.weights": str(trained),
        "roles.teacher.head": False,
        "roles.student.head": False,
    }
    first = run(tmp_path, "fitnet", "first", **settings, **{"algorithm.task_weight": 0.0})
    assert first["test/last"] is first["val/last"] is None
    student = tmp_path / "first" / "student"
    assert json.loads((student / "config.json").read_text())["num_classes"] == 0
    assert "test accuracy" not in (student / "README.md").read_text()

    begun = run(tmp_path, "baseline", "begun", **{"roles.student.weights": str(student)})
    assert begun["test/last"] is not None
    (note,) = (line for line in said(tmp_path / "begun") if line.startswith("student:"))
    assert note == "student: its weights have no classifier, so its head is new"
    scratch = run(tmp_path, "baseline", "scratch")
    assert student_hash(tmp_path / "begun") != student_hash(tmp_path / "scratch")
    assert scratch["parameters"] == begun["parameters"] > first["parameters"]

    probed = {"roles.student.weights": str(student), "roles.student.train": "head"}
    run(tmp_path, "baseline", "probed", **probed)
    before, after = (
        timm.create_model(f"local-dir:{one}", pretrained=True, num_classes=0).state_dict()
        for one in (student, tmp_path / "probed" / "student")
    )
    assert all(torch.equal(before[name], after[name]) for name in before), "the head alone was trained"


def test_a_task_without_a_classifier_refuses(tmp_path: Path) -> None:
    with pytest.raises(KdzooError, match=r"the student has no classifier.*--set roles\.student\.head=true"):
        run(tmp_path, "baseline", **{"roles.student.head": False})


@pytest.mark.parametrize("method", ["kd", "fitnet"])
def test_what_needs_a_teacher_refuses_without(tmp_path: Path, method: str) -> None:
    recipe = small(method)
    alone = recipe.model_copy(update={"roles": {"student": recipe.roles["student"]}})
    with pytest.raises(KdzooError, match=f"knowledge {method!r} needs a teacher: pass --teacher MODEL"):
        train(alone, tmp_path / "run", zoo=Zoo())


def test_a_frozen_role_needs_weights(tmp_path: Path) -> None:
    for train_what, said_is in (("never", "train=never"), ("head", "train=head")):
        with pytest.raises(
            KdzooError, match=f"roles.teacher has no weights, and {said_is}: pass --teacher-weights"
        ):
            run(tmp_path, "kd", **{"roles.teacher.train": train_what})
    with pytest.raises(KdzooError, match="a head alone needs a trained network"):
        run(tmp_path, "baseline", **{"roles.student.train": "head"})
    with pytest.raises(KdzooError, match="this role is trained"):
        run(tmp_path, "baseline", **{"roles.student.train": "never"})


def test_a_folder_is_absolute_in_the_recipe(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the recipe runs from another folder, and nobody looks for a file of the model's name."""
    monkeypatch.chdir(trained.parent)
    for given in ({"roles.teacher.model": "local-dir:student"}, {"roles.teacher.weights": "student"}):
        recipe = small("kd", **FEW, **given)
        role = recipe.roles["teacher"]
        assert (role.weights or role.model).removeprefix("local-dir:") == str(trained)
    (tmp_path / "elsewhere").mkdir()
    write(recipe, tmp_path / "elsewhere" / "recipe.yaml")
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = train(recipe, tmp_path / "run", zoo=Zoo())
    assert result["teacher_path"] == str(trained)
    as_model = run(tmp_path, "kd", "model", **{"roles.teacher.model": f"local-dir:{trained}"})
    assert as_model["teacher_path"] == str(trained)
    assert student_hash(tmp_path / "model") == student_hash(tmp_path / "run")


def test_a_whole_teacher_is_trained_from_weights(tmp_path: Path, cache: Path) -> None:
    weights = saved(tmp_path / "saved", ("ant", "bee"))
    run(tmp_path, "kd", **{"roles.teacher.weights": str(weights), "roles.teacher.train": "full"})
    (folder,) = teachers(cache)
    before, after = (
        timm.create_model(f"local-dir:{one}", pretrained=True, num_classes=0).state_dict()
        for one in (weights, folder / "student")
    )
    assert not torch.equal(before["conv1.0.weight"], after["conv1.0.weight"])


def test_features_are_stored_and_replayed(tmp_path: Path, trained: Path) -> None:
    """Embeddings and maps of a teacher without a classifier, bit for bit."""
    given = {"roles.teacher.weights": str(trained), "roles.teacher.head": False, "store_gb": 1}
    for knowledge in ("rkd", "fitnet"):
        first, second = (run(tmp_path, knowledge, f"{knowledge}-{turn}", **given) for turn in (1, 2))
        assert (first["teacher/replayed"], second["teacher/replayed"]) == (0, second["teacher/asked"])
        assert student_hash(tmp_path / f"{knowledge}-1") == student_hash(tmp_path / f"{knowledge}-2")
