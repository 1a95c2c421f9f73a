"""The batch size that the number of images gives, or the memory; and memory that does not suffice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from kdzoo.api import Batch, Run
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.errors import KdzooError, OutOfMemory
from kdzoo.jobs.batch_size import fitting
from kdzoo.jobs.memory import lacks_memory
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.identity import Differs, read_identity
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.yaml_text import read_yaml
from kdzoo.zoo import Zoo

from .runs import reopened, small, student_hash

GREEDY = """
import torch
from kdzoo.api import Knowledge, hookimpl

class Greedy(Knowledge):
    name, kind = "greedy", "response"

    def __init__(self, most: int = 4, kinds: str = "cuda"):
        super().__init__()
        self.most, self.kinds = most, kinds

    def forward(self, student, teacher, batch):
        if len(batch.index) > self.most:
            if self.kinds == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return (student.logits - teacher.logits).square().mean(dim=1)

@hookimpl
def kdzoo_knowledge():
    return [Greedy]
"""


@pytest.mark.parametrize(
    ("images", "size"), [(1, 16), (315, 16), (639, 16), (640, 32), (2559, 64), (2560, 128), (10**6, 128)]
)
def test_a_default_makes_twenty_steps(images: int, size: int) -> None:
    assert fitting(images) == size


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_about_memory_are_known(error: Exception, lacks: bool) -> None:
    assert lacks_memory(error) is lacks


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of 40 and 4 images."""
    for split, count in (("train", 40), ("test", 4)):
        for shade, name in ((60, "cat"), (180, "dog")):
            (tmp_path / "pictures" / split / name).mkdir(parents=True)
            for index in range(count):
                image = Image.new("RGB", (32, 32), (shade, index * 5, 90))
                image.save(tmp_path / "pictures" / split / name / f"{index}.png")
    return tmp_path / "pictures"


def said(folder: Path) -> list[str]:
    rows = read_journal(folder / "metrics.jsonl")
    return [row["message"] for row in rows if row["event"] in ("note", "warning")]


def size_of(folder: Path) -> Any:
    identity = read_identity(folder)
    assert identity is not None
    assert read_yaml(folder / "recipe.yaml")["data"]["batch_size"] == identity.fields["data.batch_size"]
    return identity.fields["data.batch_size"]


def unsized(**settings: Any) -> Any:
    """A recipe that gives no batch size."""
    recipe = small("baseline", **settings)
    data = recipe.data.model_dump(exclude={"batch_size", "augment"})
    return recipe.model_copy(update={"data": type(recipe.data)(**data)})


def test_few_images_have_a_small_batch_and_a_run_goes_on_with_it(pictures: Path, tmp_path: Path) -> None:
    recipe = unsized(**{"data.data_dir": pictures, "data.val_fraction": 0.0})
    train(recipe, tmp_path / "run", zoo=Zoo())
    assert size_of(tmp_path / "run") == 16
    assert "data.batch_size 16, for 5 steps an epoch: the usual 128 is for more images" in said(
        tmp_path / "run"
    )
    assert train(recipe, tmp_path / "run", zoo=Zoo(), resume=True)["epochs"] == 1, "it is finished"
    train(recipe, reopened(tmp_path / "run"), zoo=Zoo(), resume=True)
    again = resolve(zoo=Zoo(), registry=load_registry(Zoo()), file=tmp_path / "run" / "recipe.yaml")
    train(again, tmp_path / "again", zoo=Zoo())
    assert student_hash(tmp_path / "again") == student_hash(tmp_path / "run")


def test_a_given_batch_and_other_data_sets_keep_theirs(pictures: Path, tmp_path: Path) -> None:
    given = {"data.data_dir": pictures, "data.batch_size": 128}
    train(small("baseline", **given), tmp_path / "given", zoo=Zoo())
    train(unsized(**{"data.train_per_class": 4, "data.test_per_class": 2}), tmp_path / "digits", zoo=Zoo())
    assert size_of(tmp_path / "given") == size_of(tmp_path / "digits") == 128


def test_too_little_memory_is_one_line_and_leaves_nothing(
    pictures: Path, tmp_path: Path, install: Callable[..., None]
) -> None:
    install("kdzoo-greedy", GREEDY)
    zoo = Zoo()
    settings = {"data.data_dir": pictures, "knowledge.name": "greedy"}
    for kinds in ("cuda", "cpu"):
        greedy = small("kd", zoo, **settings, **{"data.batch_size": 8, "knowledge.kinds": kinds})
        with pytest.raises(
            OutOfMemory, match=r"out of memory on cpu at data\.batch_size 8\. .*-b 4 .*-b auto"
        ):
            train(greedy, tmp_path / "run", zoo=zoo)
        assert not (tmp_path / "run").exists()
    train(small("kd", zoo, **settings, **{"data.batch_size": 4}), tmp_path / "run", zoo=zoo)


class Full(Listener):
    """The memory is full in the third step."""

    steps = 0

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        self.steps += 1
        if self.steps == 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_checkpoint_is_kept_for_the_same_batch(tmp_path: Path) -> None:
    settings = {"data.train_per_class": 2, "data.test_per_class": 2, "checkpoint_seconds": 0}
    recipe = small("baseline", **settings)
    with pytest.raises(
        OutOfMemory, match="the checkpoint is kept: --resume goes on where there is more memory"
    ):
        train(recipe, tmp_path / "run", zoo=Zoo(), listeners=[Full()])
    with pytest.raises(Differs, match=r"data\.batch_size was 4 and is 2 now"):
        train(
            small("baseline", **settings, **{"data.batch_size": 2}), tmp_path / "run", zoo=Zoo(), resume=True
        )
    train(recipe, tmp_path / "run", zoo=Zoo(), resume=True)
    train(recipe, tmp_path / "whole", zoo=Zoo())
    assert student_hash(tmp_path / "run") == student_hash(tmp_path / "whole")


def test_auto_finds_what_fits_once_and_records_it(
    pictures: Path, tmp_path: Path, install: Callable[..., None]
) -> None:
    install("kdzoo-greedy", GREEDY)
    zoo = Zoo()
    settings = {
        "data.data_dir": pictures,
        "knowledge.name": "greedy",
        "optim.lr_base": 0.1,
        "optim.opt": "sgd",
    }
    recipe = small("kd", zoo, **settings, **{"data.batch_size": "auto"})
    train(recipe, tmp_path / "run", zoo=zoo)
    assert size_of(tmp_path / "run") == 4
    assert read_yaml(tmp_path / "run" / "recipe.yaml")["optim"]["lr"] == pytest.approx(0.1 * 4 / 256)
    assert "data.batch_size auto: 4 images a step fit into the memory of cpu" in said(tmp_path / "run")
    train(small("kd", zoo, **settings, **{"data.batch_size": 4}), tmp_path / "given", zoo=zoo)
    assert student_hash(tmp_path / "given") == student_hash(tmp_path / "run"), "the search leaves no trace"
    train(recipe, reopened(tmp_path / "run"), zoo=zoo, resume=True)
    assert size_of(tmp_path / "run") == 4
    with pytest.raises(KdzooError, match="cpu has too little memory for 2 images"):
        train(
            small("kd", zoo, **settings, **{"data.batch_size": "auto", "knowledge.most": 1}),
            tmp_path / "no",
            zoo=zoo,
        )
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("bad", [0, -1, "automatic", 2.5])
def test_other_words_are_refused(bad: Any) -> None:
    with pytest.raises(KdzooError, match=r"data\.batch_size"):
        small("baseline", **{"data.batch_size": bad})
