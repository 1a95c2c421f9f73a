"""What a run can resume, and what is refused: other content, other teachers, newer plugins, other recipes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.jobs.identity import provider, released_with_the_core
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.decides import identify
from kdzoo.recipe.identity import Differs, Identity, read_identity
from kdzoo.zoo import Zoo

from .runs import reopened, small, student_hash, teachers

CPU = torch.device("cpu")

PLUGIN = """
from kdzoo.api import Knowledge, hookimpl

class Nearness(Knowledge):
    name, kind = "nearness", "response"

    def forward(self, student, teacher, batch):
        return (student.logits - teacher.logits).square().mean(dim=1)

@hookimpl
def kdzoo_knowledge():
    return [Nearness]
"""


def test_other_content_is_other_data(images: Path, tmp_path: Path) -> None:
    train(small("baseline", **{"data.data_dir": images}), tmp_path / "run", zoo=Zoo())
    shutil.copytree(images, tmp_path / "copy")
    Image.new("RGB", (32, 32), (1, 2, 3)).save(tmp_path / "copy" / "train" / "cat" / "0.png")
    other = small("baseline", **{"data.data_dir": tmp_path / "copy"})
    with pytest.raises(Differs, match=r"run: cannot resume: data\.content was pixels \w{8} and is") as error:
        train(other, reopened(tmp_path / "run"), zoo=Zoo(), resume=True)
    assert "restore the data, or take another --output" in str(error.value)


def test_two_copies_of_a_folder_share_the_teacher(images: Path, tmp_path: Path, cache: Path) -> None:
    shutil.copytree(images, tmp_path / "copy")
    for number, place in enumerate((images, tmp_path / "copy")):
        train(small("kd", **{"data.data_dir": place}), tmp_path / f"run{number}", zoo=Zoo())
    (teacher,) = teachers(cache)
    identity = read_identity(teacher)
    assert identity is not None
    assert teacher.name == f"test_resnet-{identity.key[:16]}"
    assert student_hash(tmp_path / "run0") == student_hash(tmp_path / "run1")
    # when one looks, and with how many threads, does not change a teacher
    seldom = {"eval_every": 7, "data.workers": 1, "data.cache_gb": 2.0, "checkpoint_seconds": 9.0}
    train(small("kd", **{"data.data_dir": images, **seldom}), tmp_path / "run2", zoo=Zoo())
    assert teachers(cache) == [teacher]


def test_a_teacher_that_is_trained_anew_for_other_data_says_so(
    images: Path, tmp_path: Path, cache: Path
) -> None:
    train(small("kd", **{"data.data_dir": images}), tmp_path / "run", zoo=Zoo())
    Image.new("RGB", (32, 32), (1, 2, 3)).save(images / "train" / "cat" / "0.png")
    train(small("kd", **{"data.data_dir": images}), tmp_path / "again", zoo=Zoo())
    said = [
        row["message"]
        for teacher in teachers(cache)
        for row in read_journal(teacher / "metrics.jsonl")
        if row["event"] == "warning"
    ]
    (message,) = (one for one in said if one.startswith("the teacher is trained anew"))
    assert message.startswith("the teacher is trained anew: data.content was pixels ")


def test_another_teacher_than_the_checkpoint_s_is_refused(images: Path, tmp_path: Path, cache: Path) -> None:
    recipe = small("kd", **{"data.data_dir": images})
    train(recipe, tmp_path / "run", zoo=Zoo())
    (teacher,) = teachers(cache)
    weights = teacher / "student" / "model.safetensors"
    before = sha256(weights.read_bytes()).hexdigest()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    rows = (teacher / "metrics.jsonl").read_text()  # as if it had been trained like that
    (teacher / "metrics.jsonl").write_text(rows.replace(before, sha256(content).hexdigest()))
    with pytest.raises(
        Differs, match=r"roles\.teacher\.weights was \w{8} and is \w{8} now; restore the weights"
    ):
        train(recipe, reopened(tmp_path / "run"), zoo=Zoo(), resume=True)


def test_a_finished_run_is_not_the_answer_to_another_recipe(tmp_path: Path) -> None:
    few = {"data.train_per_class": 2, "data.test_per_class": 2}
    train(small("baseline", **few), tmp_path / "run", zoo=Zoo())
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(
        Differs, match=r"cannot resume: seed was 0 and is 1 now, smoothing was 0\.0 and is 0\.1 now"
    ):
        train(small("baseline", seed=1, smoothing=0.1, **few), tmp_path / "run", zoo=Zoo(), resume=True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_newer_plugin_does_not_go_on_with_the_older_one_s_run(
    install: Callable[..., None], tmp_path: Path
) -> None:
    install("kdzoo-nearness", PLUGIN)
    settings = {"knowledge.name": "nearness", "data.train_per_class": 2, "data.test_per_class": 2}
    zoo = Zoo()
    train(small("kd", zoo, **{**settings, "knowledge": {"name": "nearness"}}), tmp_path / "run", zoo=zoo)
    metadata = tmp_path / "kdzoo_nearness-1.2.3.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.2.3", "Version: 1.2.4"))
    newer = Zoo()
    recipe = small("kd", newer, **{**settings, "knowledge": {"name": "nearness"}})
    with pytest.raises(Differs) as error:
        train(recipe, reopened(tmp_path / "run"), zoo=newer, resume=True)
    assert "plugins.knowledge.nearness was kdzoo-nearness 1.2.3 and is kdzoo-nearness 1.2.4 now" in str(
        error.value
    )
    assert "install kdzoo-nearness 1.2.3 again, or take another --output" in str(error.value)


def test_only_what_is_released_with_the_core_is_known_by_its_minor_version() -> None:
    assert {"kdzoo", "kdzoo-response", "kdzoo-nas"} <= released_with_the_core()
    assert "torch" not in released_with_the_core()
    assert provider("kdzoo", "0.3.7") == "kdzoo 0.3"
    assert provider("kdzoo_response", "0.3.7") == provider("kdzoo_response", "0.3.8")
    assert provider("kdzoo-of-others", "0.3.7") == "kdzoo-of-others 0.3.7"


def test_a_checkpoint_outlives_a_patch_upgrade_and_no_other(tmp_path: Path) -> None:
    def file(version: str) -> CheckpointFile:
        identity = identify(small("baseline"), data=None, plugins={}, kdzoo=version, notes={"torch": version})
        return CheckpointFile(tmp_path, identity)

    whole: dict[str, Any] = {name: {} for name in ("position", "run", "rng", "teachers")}
    file("0.1.0").save({**whole, "state": {"answer": 42}, "journal": [0, ""], "seconds": [0.0, 0.0]})
    found = file("0.1.9").load(CPU)
    assert found is not None
    assert found["state"] == {"answer": 42}
    assert found["identity"]["notes"] == {"torch": "0.1.0"}
    with pytest.raises(
        Differs, match=r"kdzoo was kdzoo 0\.1 and is kdzoo 0\.2 now; install kdzoo 0\.1 again"
    ):
        file("0.2.0").load(CPU)


def test_another_torch_is_said_and_not_refused(tmp_path: Path) -> None:
    recipe = small("baseline", **{"data.train_per_class": 2, "data.test_per_class": 2})
    train(recipe, tmp_path / "run", zoo=Zoo())
    path = reopened(tmp_path / "run") / "checkpoint" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    identity = Identity.load(saved.pop("identity"))
    CheckpointFile(path.parent, replace(identity, notes={**identity.notes, "torch": "1.13"})).save(saved)
    train(recipe, tmp_path / "run", zoo=Zoo(), resume=True)
    rows = read_journal(tmp_path / "run" / "metrics.jsonl")
    assert ["begun with torch 1.13, now" in row["message"] for row in rows if row["event"] == "warning"] == [
        True
    ]


def test_a_checkpoint_of_an_earlier_format_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"format": 1, "recipe": "abc"}, tmp_path / "last.ckpt")
    with pytest.raises(
        Exception, match="checkpoint format 1, this version reads 3; start again with another"
    ):
        CheckpointFile(tmp_path, identify(small("baseline"), data=None, plugins={})).load(CPU)
