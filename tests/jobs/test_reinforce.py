"""A reinforced set gives what its teacher would answer to the same views, or is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kdzoo.api import Batch, Output
from kdzoo.api.observer import Event, Warned
from kdzoo.backbone import Backbone, build_backbone
from kdzoo.data.open import open_data
from kdzoo.data.reinforced import Reinforced
from kdzoo.engine.listeners import Listener
from kdzoo.engine.reinforced import condensed, spread
from kdzoo.engine.weights import load_weights
from kdzoo.errors import KdzooError
from kdzoo.jobs.reinforce import Wanted, reinforce
from kdzoo.jobs.resources import Resources
from kdzoo.jobs.train import make_fabric, train
from kdzoo.observers.journal import read_journal
from kdzoo.owner import Owner
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.reinforced import Facts, read_facts
from kdzoo.recipe.roles import RoleConfig
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

from .runs import student_hash

BASE: dict[str, Any] = {
    "observers": [],
    "data.batch_size": 4,
    "data.augment.crop": 2,
    "data.augment.hflip": 0.5,
    "data.augment.color": 0.3,
    "data.val_fraction": 0.0,
}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build_backbone(RoleConfig(model="test_resnet"), num_classes=2, channels=3, img_size=32)
    torch.save(network.model.state_dict(), tmp_path / "teacher.pth")
    return tmp_path / "teacher.pth"


def teacher(weights: Path) -> Backbone:
    network = build_backbone(RoleConfig(model="test_resnet"), num_classes=2, channels=3, img_size=32)
    load_weights(network, weights)
    return network.to(memory_format=torch.channels_last).eval()


@pytest.fixture
def make(images: Path, weights: Path, tmp_path: Path) -> Callable[..., Path]:
    """Make a set of the pictures in ``images``."""

    def made(
        name: str = "set",
        tell: Callable[[Event], None] = lambda event: None,
        settings: dict[str, Any] | None = None,
        **wanted: Any,
    ) -> Path:
        zoo = Zoo()
        own = {"roles.student.model": "test_resnet", "roles.student.checkpoint": weights}
        layers = [Layer("test", dotted({**own, **BASE, "data.data_dir": images, **(settings or {})}))]
        recipe = resolve(zoo=zoo, registry=load_registry(zoo), method="baseline", layers=layers)
        recipe = recipe.model_copy(update={"roles": {**recipe.roles, "teacher": recipe.roles["student"]}})
        asked = Wanted(tmp_path / name, **{"views": 3, "precision": "float32", **wanted})
        reinforce(recipe, asked, Resources(zoo, make_fabric(recipe, accelerator="cpu")), tell)
        return tmp_path / name

    return made


def student(folder: Path, method: str = "kd", **settings: Any) -> Recipe:
    zoo = Zoo()
    own = {"observers": [], "data.batch_size": 4, "epochs": 4, "roles.student.model": "test_efficientnet"}
    layers = [Layer("test", dotted({**own, "data.data_dir": folder, **settings}))]
    return resolve(zoo=zoo, registry=load_registry(zoo), method=method, layers=layers)


def run(recipe: Recipe, folder: Path, **more: Any) -> dict[str, Any]:
    train(recipe, folder, zoo=Zoo(), **more)
    rows = read_journal(folder / "metrics.jsonl")
    result: dict[str, Any] = next(row["result"] for row in rows if row["event"] == "result")
    return result


class Compares(Listener):
    """Asks the teacher itself in every step."""

    def __init__(self, network: Backbone) -> None:
        self.network = network
        self.logits: list[Tensor] = []
        self.steps = 0

    def seen(self, run: Any, role: str, batch: Batch, output: Output) -> None:
        if role == "teacher" and len(batch) == 4:
            with torch.no_grad():
                asked = self.network(batch.inputs["image"]).logits
            assert torch.equal(output.logits, asked)
            self.logits.append(asked)
            self.steps += 1


@pytest.mark.parametrize("method", ["kd", "dkd", "dist"])
def test_whole_logits_are_those_that_the_teacher_would_answer(
    method: str, make: Callable[..., Path], weights: Path, tmp_path: Path
) -> None:
    compares = Compares(teacher(weights))
    result = run(student(make(), method), tmp_path / "run", listeners=[compares])
    assert compares.steps == 4 * 2
    assert len({one.sum().item() for one in compares.logits}) == 8, "the views differ"
    assert result["teacher/asked"] == result["teacher/replayed"] == 4 * 8 + 2  # two for the shapes
    assert "test/teacher" not in result


def test_files_that_do_not_fit_into_the_room_are_read_step_by_step(
    make: Callable[..., Path], weights: Path, tmp_path: Path
) -> None:
    folder = make()
    compares = Compares(teacher(weights))
    run(student(folder, store_gb=0), tmp_path / "files", listeners=[compares])
    run(student(folder), tmp_path / "memory")
    assert compares.steps == 8
    assert student_hash(tmp_path / "files") == student_hash(tmp_path / "memory")


def test_an_epoch_draws_among_the_views(make: Callable[..., Path]) -> None:
    found = Reinforced(Path(), read_facts(make()))
    index = torch.arange(1000)
    epochs = torch.stack([found.drawn(0, epoch, index) for epoch in range(6)])
    assert torch.equal(epochs[:3].sort(0).values, torch.arange(3)[:, None].expand(3, 1000)), "each view once"
    assert not torch.equal(epochs[:3], epochs[3:]), "each round in another order"
    assert all(200 < count < 450 for count in epochs[0].bincount())
    assert torch.equal(found.drawn(0, 4, index[500:510]), epochs[4, 500:510])
    assert not torch.equal(found.drawn(1, 0, index), epochs[0])


def test_the_views_are_redrawn_from_the_pictures(make: Callable[..., Path], images: Path) -> None:
    folder = make()
    plain = open_data(
        DataConfig.model_validate(
            {"data_dir": images, "batch_size": 8, "val_fraction": 0, **augment(folder)}
        ),
        seed=0,
        device=torch.device("cpu"),
    )
    wanted = {}
    for view in range(3):
        (batch,) = plain.train.in_view(view)
        wanted |= {
            (view, int(index)): image for index, image in zip(batch.index, batch.inputs["image"], strict=True)
        }
    data = open_data(DataConfig(data_dir=folder, batch_size=2), seed=7, device=torch.device("cpu"))
    assert data.reinforced is not None
    for epoch in range(5):
        data.train.set_epoch(epoch)
        for batch in data.train:
            views = data.reinforced.drawn(7, epoch, batch.index)
            for index, view, image in zip(batch.index, views, batch.inputs["image"], strict=True):
                assert torch.equal(image, wanted[int(view), int(index)])


def augment(folder: Path) -> dict[str, Any]:
    return {"augment": json.loads((folder / "reinforced.json").read_text())["augment"]}


def test_the_rest_of_the_probability_is_spread_evenly() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 3.0, 0.0, 1.0]])
    kept, classes = condensed(logits, 2)
    assert classes is not None
    # (e^0 + e^-1) / 2 = 0.68394, (1 + 1) / 2 = 1
    assert kept.flatten().tolist() == pytest.approx([2, 1, -0.37989, 3, 1, 0], abs=1e-5)
    assert classes.tolist() == [[0, 1], [1, 3]]
    found, right = spread(kept, classes, 4).softmax(1), logits.softmax(1)
    assert torch.allclose(found[0, :2], right[0, :2], atol=1e-6)
    # what is left, 0.08714 + 0.03206, in two equal shares
    assert found[0, 2:].tolist() == pytest.approx([0.0596, 0.0596], abs=1e-4)
    assert (found - right).abs().max().item() == pytest.approx(0.02754, abs=1e-4)
    assert torch.allclose(found[1], right[1], atol=1e-6), "equal ones lose nothing"
    whole, none = condensed(logits, 4)
    assert torch.equal(whole, logits)
    assert none is None


def test_top_k_in_half_precision(make: Callable[..., Path], weights: Path, tmp_path: Path) -> None:
    folder = make("small", top_k=1, precision="float16", licence="CC-BY-4.0")
    facts = read_facts(folder)
    kept, classes = Reinforced(folder, facts).read(0)
    assert classes is not None
    assert (kept.dtype, tuple(kept.shape), classes.dtype) == (torch.float16, (8, 2), torch.int16)
    result = run(student(folder), tmp_path / "run")
    assert result["teacher/replayed"] > 0
    card = (folder / "README.md").read_text()
    assert "CC-BY-4.0" in card
    assert "the 1 largest of 2 logits, float16" in card
    assert facts.content in card


@pytest.mark.parametrize(
    ("method", "said"), [("srrl", "embeddings"), ("fitnet", "maps"), ("avg", "another teacher")]
)
def test_methods_that_need_more_are_refused(
    method: str, said: str, make: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(KdzooError, match=rf"this method needs .*{said}.*: take one on logits"):
        run(student(make(), method), tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data.augment.hflip": 0.0}, r"data.augment.hflip 0.0: the views .* are made with 0.5"),
        ({"data.augment.mixup": 0.5}, r"data.augment.mixup 0.5"),
        ({"data.val_fraction": 0.25}, r"data.val_fraction 0.25: the reinforced set .* was made with 0.0"),
        ({"data.views": 2}, r"data.views 2"),
        ({"roles.teacher.model": "test_vit"}, r"teacher 'test_vit': .* has the answers of test_resnet"),
        ({"data.batch_size": "auto"}, r"batch_size auto: not with a reinforced set"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_what_the_set_decides_cannot_be_changed(
    change: dict[str, Any], said: str, make: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(KdzooError, match=said):
        run(student(make(), **change), tmp_path / "run")


def test_its_recipe_runs_again_and_resumes(make: Callable[..., Path], tmp_path: Path) -> None:
    recipe = student(make(), **{"roles.teacher.model": "test_resnet", "data.labels_per_class": 2})
    run(recipe, tmp_path / "first")
    zoo = Zoo()
    again = resolve(zoo=zoo, registry=load_registry(zoo), file=tmp_path / "first" / "recipe.yaml")
    run(again, tmp_path / "second")
    assert student_hash(tmp_path / "first") == student_hash(tmp_path / "second")
    train(again, tmp_path / "first", zoo=zoo, resume=True)


def damaged(folder: Path, how: str) -> None:
    file = folder / "views" / "00001.safetensors"
    match how:
        case "a bit":
            content = bytearray(file.read_bytes())
            content[-3] ^= 1
            file.write_bytes(content)
        case "cut":
            file.write_bytes(file.read_bytes()[:-9])
        case "gone":
            file.unlink()
        case "names":
            (folder / "names.json").write_text("[]")
        case "about":
            (folder / "reinforced.json").write_text("{}")
        case "other picture":
            picture = next((folder / "pictures" / "train" / "dog").iterdir())
            shutil.copyfile(next((folder / "pictures" / "train" / "cat").iterdir()), picture)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("a bit", "00001.safetensors: not what was written"),
        ("cut", "00001.safetensors: not what was written"),
        ("gone", "00001.safetensors: missing"),
        ("names", "names.json: missing, or not what was written"),
        ("about", "reinforced.json: .*: Field required"),
        ("other picture", "pictures: not the pictures that the set was made of"),
    ],
)
def test_a_damaged_set_is_refused(how: str, said: str, make: Callable[..., Path], tmp_path: Path) -> None:
    folder = make(copies=True)
    damaged(folder, how)
    with pytest.raises(KdzooError, match=said):
        run(student(folder), tmp_path / "run")


def test_damaged_views_are_made_again(make: Callable[..., Path]) -> None:
    folder = make()
    before = read_facts(folder)
    damaged(folder, "a bit")
    damaged_at = (folder / "views" / "00000.safetensors").stat().st_mtime_ns
    said: list[Event] = []
    make(tell=said.append)
    assert read_facts(folder) == before
    assert (folder / "views" / "00000.safetensors").stat().st_mtime_ns == damaged_at, "whole ones stay"
    assert any(isinstance(one, Warned) and "made again" in one.message for one in said)


class Killed(BaseException):
    pass


def test_killed_while_it_is_made(make: Callable[..., Path], tmp_path: Path) -> None:
    def kill(event: Event) -> None:
        if getattr(event, "label", "").startswith("asking") and getattr(event, "done", 0) == 2:
            raise Killed

    with pytest.raises(Killed):
        make(tell=kill)
    folder = tmp_path / "set"
    with pytest.raises(KdzooError, match="not finished, 1 of its 4 files are missing"):
        run(student(folder), tmp_path / "run")
    first = (folder / "views" / "00000.safetensors").stat().st_mtime_ns
    make()
    assert (folder / "views" / "00000.safetensors").stat().st_mtime_ns == first
    assert read_facts(folder) == read_facts(make("whole"))
    run(student(folder), tmp_path / "run")


def test_another_set_is_not_written_over(make: Callable[..., Path]) -> None:
    make()
    with pytest.raises(KdzooError, match=r"holds another reinforced set: views was 3 and is 4 now"):
        make(views=4)
    with pytest.raises(KdzooError, match=r"holds another reinforced set: seed was 0 and is 1 now"):
        make(settings={"seed": 1})


@pytest.mark.parametrize(
    ("settings", "wanted", "said"),
    [
        ({"data.augment.cutmix": 1.0}, {}, "answers to single images"),
        ({"data.augment.repeats": 2}, {}, "own number of views"),
        ({"data.views": 2}, {}, "data.views: a reinforced set cannot have it"),
        ({}, {"top_k": 3}, "--top-k 3: the data have 2 classes"),
    ],
)
def test_what_cannot_be_made(
    settings: dict[str, Any], wanted: dict[str, Any], said: str, make: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(KdzooError, match=said):
        make(settings=settings, **wanted)
    assert not (tmp_path / "set").exists()


def test_others_can_take_it(make: Callable[..., Path], images: Path, tmp_path: Path) -> None:
    """With the pictures in it, or with their own ones in the place of the link."""
    linked, copied = make("linked"), make("copied", copies=True)
    away = tmp_path / "away"
    shutil.copytree(linked, away / "linked", symlinks=True)
    shutil.copytree(copied, away / "copied")
    shutil.move(images, tmp_path / "moved")
    with pytest.raises(KdzooError, match="pictures"):
        run(student(away / "linked"), tmp_path / "run")
    (away / "linked" / "pictures").unlink()
    (away / "linked" / "pictures").symlink_to(tmp_path / "moved")
    run(student(away / "linked"), tmp_path / "run")
    run(student(away / "copied"), tmp_path / "other")
    assert student_hash(tmp_path / "run") == student_hash(tmp_path / "other")


def test_what_a_set_says_of_itself_is_read_back(make: Callable[..., Path]) -> None:
    facts = read_facts(make())
    assert Facts.model_validate_json(facts.model_dump_json(exclude_unset=True)) == facts
    assert (facts.views, facts.top_k, facts.images, facts.classes) == (3, 2, 8, ("cat", "dog"))


def test_one_process_makes_it(make: Callable[..., Path]) -> None:
    folder = make()
    with Owner(folder).held(), pytest.raises(KdzooError, match="writes this folder"):
        make()


def test_changed_pictures_have_no_answer(make: Callable[..., Path]) -> None:
    data = open_data(DataConfig(data_dir=make(), batch_size=4), seed=0, device=torch.device("cpu"))
    batch = next(iter(data.train))
    origin, image = batch.origin, batch.inputs["image"]
    assert origin is not None

    def shown(changed: Tensor) -> bool:
        return origin.shows(replace(batch, inputs={"image": changed}), "image")

    assert shown(image)
    assert shown(image[:2].detach()), "a part of the batch"
    assert not shown(image[..., 8:24, 8:24]), "a crop in the same memory"
    assert not shown(image.flip(0))
    assert not shown(image.clone())
    image.mul_(0.5)
    assert not shown(image), "changed in place"
