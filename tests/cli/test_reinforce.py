"""``kdzoo reinforce``, and training from what it makes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kdzoo.backbone import build_backbone
from kdzoo.recipe.roles import RoleConfig

SMALL = ("--dataset", "digits", "--train-per-class", "2", "--test-per-class", "2", "--batch-size", "10")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build_backbone(RoleConfig(model="test_resnet"), num_classes=10, channels=1, img_size=32)
    tensors = {name: tensor.contiguous() for name, tensor in network.model.state_dict().items()}
    save_file(tensors, tmp_path / "teacher.safetensors")
    return tmp_path / "teacher.safetensors"


def test_a_set_of_embedded_pictures_teaches_without_its_teacher(
    kdzoo: Callable[..., Any], weights: Path, tmp_path: Path
) -> None:
    made = tmp_path / "set"
    teacher = ("--teacher", "test_resnet", "--teacher-checkpoint", weights)
    flags = ("--views", 2, "--top-k", 3, "--licence", "MIT", "--output", made, "--device", "cpu")
    answer = kdzoo("reinforce", *teacher, *SMALL, "--val-fraction", 0, *flags)
    assert answer.code == 0, answer.err
    assert answer.out == f"{made}: 2 views of 20 images, answered by test_resnet\n"
    assert "test\\_resnet" in (made / "README.md").read_text()
    weights.unlink()
    recipe = ("--student", "test_efficientnet", "--epochs", 3, "-b", 5, "--set", "observers=[console]")
    answer = kdzoo(
        "distill",
        "--method",
        "kd",
        "--data-dir",
        made,
        *recipe,
        "--output",
        tmp_path / "run",
        "--device",
        "cpu",
    )
    assert answer.code == 0, answer.err
    assert "The store replayed 62 of the teacher's 62 answers and recorded 0." in answer.err
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["recipe"]["roles"]["teacher"]["model"] == "test_resnet"
    assert rows[0]["recipe"]["data"]["train_per_class"] == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "whose answers? pass --teacher MODEL"),
        (("--teacher", "nothing"), "nothing"),
        (("--teacher", "test_resnet", "--top-k", "11"), "--top-k 11: the data have 10 classes"),
        (("--teacher", "test_resnet", "-b", "auto"), "give a number"),
        (("--teacher", "test_resnet", "--views", "0"), "--views"),
    ],
)
def test_bad_input_is_one_line(
    flags: tuple[str, ...], said: str, kdzoo: Callable[..., Any], weights: Path, tmp_path: Path
) -> None:
    more = ("--teacher-checkpoint", weights) if "test_resnet" in flags else ()
    answer = kdzoo("reinforce", *SMALL, *flags, *more, "--output", tmp_path / "set", "--device", "cpu")
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "set").exists()
