"""Nothing that a run or a teacher has written is believed before it is checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.listeners import Listener
from kdzoo.errors import Damaged, KdzooError
from kdzoo.jobs.folder import finished
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.owner import Owner
from kdzoo.recipe.decides import identify
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.model import Recipe
from kdzoo.zoo import Zoo

from .runs import reopened, small, student_hash, teachers

CPU = torch.device("cpu")
FEW = {"data.train_per_class": 2, "data.test_per_class": 2, "epochs": 2, "checkpoint_seconds": 0}


def flip(path: Path, at: float = 0.5) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 1
    path.write_bytes(content)


def warnings(folder: Path) -> list[str]:
    return [row["message"] for row in read_journal(folder / "metrics.jsonl") if row["event"] == "warning"]


@pytest.fixture
def recipe() -> Recipe:
    return small("baseline", **FEW)


@pytest.fixture
def run(recipe: Recipe, tmp_path: Path) -> Path:
    """A finished run without a teacher."""
    train(recipe, tmp_path / "run", zoo=Zoo())
    return tmp_path / "run"


def checkpoint(tmp_path: Path, recipe: Recipe, **changes: Any) -> CheckpointFile:
    file = CheckpointFile(tmp_path, identify(recipe, data=None, plugins={}))
    whole: dict[str, Any] = {name: {} for name in ("position", "state", "run", "rng", "teachers")}
    file.save({**whole, "journal": [0, ""], "seconds": [0.0, 0.0], **changes})
    return file


@pytest.mark.parametrize("at", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_changed_byte_of_a_checkpoint_is_found(recipe: Recipe, tmp_path: Path, at: float) -> None:
    file = checkpoint(tmp_path, recipe, run={"weights": torch.arange(1000)})
    flip(file.path, at)
    with pytest.raises(Damaged, match=r"last\.ckpt: not a readable checkpoint .*; start again with another"):
        file.load(CPU)


@pytest.mark.parametrize("length", [0, 10, 500, -1])
def test_a_cut_checkpoint_is_found(recipe: Recipe, tmp_path: Path, length: int) -> None:
    file = checkpoint(tmp_path, recipe)
    file.path.write_bytes(file.path.read_bytes()[:length])
    with pytest.raises(Damaged, match="not a readable checkpoint"):
        file.load(CPU)


@pytest.mark.parametrize(
    "changes",
    [
        {"run": 3},
        {"journal": 12},
        {"seconds": [1.0]},
        {"position": None},
        {"teachers": {"teacher": 4}},
        {"new": 1},
    ],
)
def test_a_checkpoint_with_other_keys_or_types_is_refused(
    recipe: Recipe, tmp_path: Path, changes: dict[str, Any]
) -> None:
    file = checkpoint(tmp_path, recipe, **changes)
    with pytest.raises(Damaged, match=next(iter(changes))):
        file.load(CPU)


def test_the_checkpoint_before_takes_the_place_of_a_damaged_one(recipe: Recipe, tmp_path: Path) -> None:
    checkpoint(tmp_path, recipe, state={"answer": 1})
    file = checkpoint(tmp_path, recipe, state={"answer": 2})
    flip(file.path)
    found = file.load(CPU)
    assert found is not None
    assert found["state"] == {"answer": 1}
    assert len(file.damaged) == 1
    file.path.unlink()  # as after a crash between the two renames
    assert checkpoint(tmp_path, recipe).load(CPU) is not None


def test_a_run_goes_on_from_the_checkpoint_before_and_ends_as_it_would_have(
    recipe: Recipe, run: Path, tmp_path: Path
) -> None:
    class Kill(BaseException):
        pass

    class KillInTheEnd(Listener):
        def run_ended(self, run: Any) -> None:
            raise Kill

    other = tmp_path / "other"
    with pytest.raises(Kill):
        train(recipe, other, zoo=Zoo(), listeners=[KillInTheEnd()])
    assert (other / "checkpoint" / "previous.ckpt").exists()
    flip(other / "checkpoint" / "last.ckpt")
    train(recipe, other, zoo=Zoo(), resume=True)
    assert student_hash(other) == student_hash(run)
    assert any("goes on from the checkpoint before it" in line for line in warnings(other))
    assert not (other / "checkpoint" / "previous.ckpt").exists(), "a finished run needs one only"


@pytest.mark.parametrize(
    ("field", "value"), [("epoch", 10**6), ("epoch", -1), ("step", 10**6), ("phase", 7), ("epoch", "one")]
)
def test_a_position_that_the_recipe_does_not_have_is_refused(
    recipe: Recipe, run: Path, field: str, value: Any
) -> None:
    file = run / "checkpoint" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    content["position"][field] = value
    identity = content.pop("identity")
    CheckpointFile(file.parent, Identity.load(identity)).save(content)
    with pytest.raises(Damaged, match=r"last\.ckpt"):
        train(recipe, reopened(run), zoo=Zoo(), resume=True)


def test_a_damaged_student_of_a_finished_run_is_exported_again(recipe: Recipe, run: Path) -> None:
    weights = run / "student" / "model.safetensors"
    before = weights.read_bytes()
    for damage in (flip, Path.unlink):
        damage(weights)
        result = train(recipe, run, zoo=Zoo(), resume=True)
        assert weights.read_bytes() == before
        assert any("model.safetensors" in line and "written again" in line for line in warnings(run))
        assert set(result["files"]) == {"config.json", "model.safetensors"}
    (run / "student" / "README.md").write_text("my own notes")  # nobody's numbers depend on it
    rows = (run / "metrics.jsonl").read_bytes()
    train(recipe, run, zoo=Zoo(), resume=True)
    assert (run / "metrics.jsonl").read_bytes() == rows


def test_rows_that_somebody_removes_while_the_run_goes_on_are_written_again(
    recipe: Recipe, tmp_path: Path
) -> None:
    class Remove(Listener):
        def phase_ended(self, run: Any, phase: Any) -> None:
            (tmp_path / "run" / "metrics.jsonl").unlink()

    train(recipe, tmp_path / "run", zoo=Zoo(), listeners=[Remove()])
    rows = read_journal(tmp_path / "run" / "metrics.jsonl")
    events = [row["event"] for row in rows if row["event"] != "note"]
    assert events == ["start", "phase", "epoch", "epoch", "warning", "picture", "result"]


def test_other_rows_than_those_of_the_checkpoint_are_refused(recipe: Recipe, run: Path) -> None:
    metrics = reopened(run) / "metrics.jsonl"
    content = metrics.read_bytes()
    metrics.write_bytes(content.replace(b'"epoch": 1', b'"epoch": 3'))
    with pytest.raises(Damaged, match="does not fit the checkpoint"):
        train(recipe, run, zoo=Zoo(), resume=True)
    metrics.unlink()
    with pytest.raises(Damaged, match="does not fit the checkpoint"):
        train(recipe, run, zoo=Zoo(), resume=True)


def _no_student(folder: Path) -> None:
    for file in (folder / "student").iterdir():
        file.unlink()
    (folder / "student").rmdir()


def _nothing_whole(folder: Path) -> None:
    flip(folder / "student" / "model.safetensors")
    flip(folder / "checkpoint" / "last.ckpt")


def _no_journal(folder: Path) -> None:
    (folder / "metrics.jsonl").write_bytes(b"\x00\xff\n\x00\n")


@pytest.mark.parametrize(
    "spoil",
    [lambda folder: flip(folder / "student" / "model.safetensors"), _no_student, _nothing_whole, _no_journal],
    ids=["flipped", "gone", "checkpoint too", "journal"],
)
def test_a_damaged_teacher_is_made_again_with_the_same_weights(
    cache: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    recipe = small("kd", **{**FEW, "epochs": 1, "roles.teacher.epochs": 1})
    train(recipe, tmp_path / "one", zoo=Zoo())
    (teacher,) = teachers(cache)
    weights = (teacher / "student" / "model.safetensors").read_bytes()
    spoil(teacher)
    train(recipe, tmp_path / "two", zoo=Zoo())
    assert (teacher / "student" / "model.safetensors").read_bytes() == weights
    assert warnings(teacher), "it says why"
    assert student_hash(tmp_path / "two") == student_hash(tmp_path / "one")


def test_a_result_without_a_student_is_no_teacher(cache: Path, tmp_path: Path) -> None:
    recipe = small("kd", **{**FEW, "epochs": 1, "roles.teacher.epochs": 1})
    train(recipe, tmp_path / "one", zoo=Zoo())
    (teacher,) = teachers(cache)
    assert finished(teacher) is not None
    _no_student(teacher)
    (teacher / "checkpoint" / "last.ckpt").unlink()
    train(recipe, tmp_path / "two", zoo=Zoo())
    assert student_hash(tmp_path / "two") == student_hash(tmp_path / "one")


def test_a_folder_that_another_process_writes_is_refused_with_its_name(
    recipe: Recipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with Owner(folder).held():
        for resume in (False, True):
            with pytest.raises(KdzooError, match=r"run: process \d+ on \S+, since 20.* writes this folder"):
                train(recipe, folder, zoo=Zoo(), resume=resume)
        assert {path.name for path in folder.iterdir()} == {".owner"}
    assert not any(folder.iterdir())
    train(recipe, folder, zoo=Zoo())
    assert not list(folder.glob(".*")), "the lock is gone"
