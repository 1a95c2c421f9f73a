"""A network in parts answers as the whole one; here all parts lie in one process."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch

from kdzoo.api.network import Backbone
from kdzoo.api.run import Run
from kdzoo.engine.sharded import is_sharded, shard, told_of_copies, whole_hash
from kdzoo.engine.weights import weights_hash
from kdzoo.errors import KdzooError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A group of one process."""
    store = tmp_path_factory.mktemp("group") / "store"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield store
    torch.distributed.destroy_process_group()


def network(name: str) -> Backbone:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5)
    return Backbone(model, input_size=model.pretrained_cfg["input_size"][1:]).eval().requires_grad_(False)


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_mambaout", "test_byobnet"]
)
def test_it_answers_as_the_whole_one(name: str, alone: Path) -> None:
    whole, parts = network(name), network(name)
    digest = weights_hash(parts)
    shard(parts, CPU, digest)
    shared = [one for one in parts.parameters() if hasattr(one, "to_local")]
    assert sum(one.numel() for one in shared) > 0.9 * sum(one.numel() for one in whole.parameters())
    images = torch.rand(2, 3, *whole.input_size, generator=torch.Generator().manual_seed(1))
    for stages in ((), (-1, -2), (0,)):
        for embedding in (False, True):
            expected, found = whole(images, stages, embedding), parts(images, stages, embedding)
            assert torch.equal(found.logits, expected.logits)
            assert all(map(torch.equal, found.features, expected.features))
            if embedding:
                assert torch.equal(found.embedded, expected.embedded)
    assert weights_hash(parts) == whole_hash(parts) == digest == weights_hash(whole)
    assert (is_sharded(parts), is_sharded(whole)) == (True, False)


def test_gradients_flow_through_it_to_the_images(alone: Path) -> None:
    grads = []
    for sharded in (False, True):
        teacher = network("test_resnet")
        if sharded:
            shard(teacher, CPU, "")
        images = torch.rand(
            2, 3, *teacher.input_size, generator=torch.Generator().manual_seed(1)
        ).requires_grad_()
        teacher(images, (-1,)).features[0].square().sum().backward()
        grads.append(images.grad)
    assert torch.equal(*grads)
    assert grads[0].abs().sum() > 0


def test_it_cannot_be_copied_or_learn(alone: Path, make_run) -> None:
    teacher = network("test_resnet")
    shard(teacher, CPU, "")
    with pytest.raises(KdzooError, match="the method copies the teacher"), told_of_copies():
        copy.deepcopy(teacher)
    with pytest.raises(AssertionError, match=r"^another$"), told_of_copies():
        raise AssertionError("another")
    run: Run = make_run("kd")
    with pytest.raises(
        KdzooError, match=r"roles\.teacher\.shard: only a frozen teacher is kept in parts, and this"
    ):
        run.enroll("teacher", teacher)


def test_only_a_teacher_can_be_in_parts(make_run) -> None:
    with pytest.raises(KdzooError, match=r"roles\.student\.shard: only a frozen teacher"):
        make_run("kd", **{"roles.student.shard": True})
