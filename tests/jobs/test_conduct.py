"""A run and the teachers that it needs are jobs one after the other, on data that are opened once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning_fabric import Fabric

from kdzoo.api.observer import Job
from kdzoo.errors import KdzooError
from kdzoo.jobs.conduct import conduct
from kdzoo.jobs.plan import Planned
from kdzoo.jobs.resources import Resources
from kdzoo.observers.journal import read_journal
from kdzoo.zoo import Zoo

from .runs import small, teachers

FEW = {"data.train_per_class": 2, "data.test_per_class": 2}

LATE = """
from kdzoo.api import Algorithm, Phase, hookimpl

class Late(Algorithm):
    name = "late"

    def phases(self, run):
        late = run.enroll("teacher7", run.build("teacher7", like="teacher"), learns=False)

        def step(batch):
            loss = run.task("student", batch)
            run.update(loss, "student")
            return {"task": loss}

        yield Phase("late", run.data.train, step, 1)

@hookimpl
def kdzoo_algorithms():
    return [Late]
"""


@pytest.fixture
def resources() -> Resources:
    return Resources(Zoo(), Fabric(accelerator="cpu", devices=1))


def do(resources: Resources, folder: Path, method: str, **settings: Any) -> Any:
    recipe = small(method, resources.zoo, **{**FEW, **settings})
    return conduct(Planned(recipe, folder, Job(folder.name)), resources, resume=False)


def test_the_samples_are_found_once_for_the_run_and_its_teachers(
    resources: Resources, tmp_path: Path, cache: Path
) -> None:
    do(resources, tmp_path / "run", "avg")
    assert len(teachers(cache)) == 2
    assert resources.once.made("source") == 1


def test_a_run_without_training_images_opens_them_for_its_teacher_alone(
    resources: Resources, tmp_path: Path, cache: Path
) -> None:
    short = {"algorithm.steps": 2, "algorithm.width": 4, "algorithm.student_steps": 1}
    do(resources, tmp_path / "run", "dfq", **short)
    (teacher,) = teachers(cache)
    assert "train_per_class: 2" in (teacher / "recipe.yaml").read_text()
    assert resources.once.made("source") == 2, "with and without the training images"


def test_a_teacher_is_a_job_of_its_own(resources: Resources, tmp_path: Path, cache: Path) -> None:
    result = do(resources, tmp_path / "run", "kd")
    (teacher,) = teachers(cache)
    rows = read_journal(teacher / "metrics.jsonl")
    assert rows[0]["job"]["kind"] == "teacher"
    assert rows[-1]["result"]["test/last"] == result["test/teacher"]
    assert Path(result["teacher_path"]) == teacher / "student"
    ended = rows[-1]["time"]
    assert read_journal(tmp_path / "run" / "metrics.jsonl")[0]["time"] >= ended


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"roles.student.modality": "heat"}, "roles.student.modality 'heat'"),
        ({"roles.teacher.modality": "heat"}, "'heat'"),
        ({"roles.student.model": "resnet_18"}, "resnet_18"),
    ],
)
def test_what_is_wrong_with_the_student_is_found_before_a_teacher_is_trained(
    settings: dict[str, Any], said: str, resources: Resources, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(KdzooError, match=said):
        do(resources, tmp_path / "run", "kd", **settings)
    assert not (cache / "teachers").exists()
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_an_algorithm_asks_for_late_is_trained_then(
    install: Callable[..., None], tmp_path: Path, cache: Path
) -> None:
    install("kdzoo-late", LATE)
    resources = Resources(Zoo(), Fabric(accelerator="cpu", devices=1))
    result = do(resources, tmp_path / "run", "kd", algorithm={"name": "late"})
    assert len(teachers(cache)) == 2
    assert result["test/teacher7"] == result["test/teacher7"]
    assert resources.once.made("source") == 1
