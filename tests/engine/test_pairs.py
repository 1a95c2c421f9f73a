"""Twenty random pairs out of timm's registry take two steps without a layer being named."""

import random

import pytest
import timm
import torch

LARGEST = 12_000_000  # parameters, so that twenty pairs take a minute or two on two cores
KINDS = {
    "transformer": (
        "vit",
        "deit",
        "swin",
        "xcit",
        "cait",
        "beit",
        "levit",
        "mvit",
        "pvt",
        "coat",
        "tnt",
        "davit",
    ),
    "mlp": ("mixer", "gmlp", "resmlp"),
}


def kind(name: str) -> str:
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "cnn")


def drawn(seed: int, count: int) -> list[str]:
    """``count`` architectures of as many families, small enough, of every kind."""
    names = timm.list_models()
    random.Random(seed).shuffle(names)
    quota = {"cnn": count // 2, "transformer": count - count // 2 - count // 10, "mlp": count // 10}
    families: set[str] = set()
    found: list[str] = []
    for name in names:
        family = timm.models.model_entrypoint(name).__module__
        if not quota[kind(name)] or (family in families and kind(name) != "mlp"):
            continue
        with torch.device("meta"):
            model = timm.create_model(name)
        small = sum(one.numel() for one in model.parameters()) <= LARGEST
        if (
            small
            and max(model.pretrained_cfg["input_size"]) <= 256
            and hasattr(model, "forward_intermediates")
        ):
            quota[kind(name)] -= 1
            families.add(family)
            found.append(name)
        if not any(quota.values()):
            break
    random.Random(seed).shuffle(found)
    return found


MODELS = drawn(seed=0, count=40)
PAIRS = list(zip(MODELS[::2], MODELS[1::2], strict=True))


def test_the_pairs_are_of_every_kind_and_size():
    assert len(PAIRS) == 20
    assert {kind(name) for name in MODELS} == {"cnn", "transformer", "mlp"}
    configs = [timm.get_pretrained_cfg(name) for name in MODELS]
    assert len({config.input_size for config in configs}) >= 2
    assert len({config.mean for config in configs}) >= 2


@pytest.mark.parametrize(("teacher", "student"), PAIRS, ids=">".join)
@pytest.mark.filterwarnings("ignore:.*:UserWarning:timm")  # timm's own, about its own models
def test_two_steps_of_hints_and_of_logits(make_run, zoo, teacher, student, tmp_path):
    path = tmp_path / "teacher.pth"
    torch.save(timm.create_model(teacher, num_classes=4).state_dict(), path)
    names = {"roles.teacher.model": teacher, "roles.teacher.checkpoint": path, "data.batch_size": 2}
    hints = make_run("fitnet", student=student, **names)
    logits = make_run("kd", student=student, **names)
    for run in (hints, logits):
        run.data.train.size, run.data.train.pixels = 2, 64
        for number, batch in enumerate(run.data.train):
            batch = run.begin_step(number, batch)
            teach = run.teach(batch)
            run.update(run.task("student", batch) + teach, "student", "knowledge")
            run.end_step()
            assert teach > 0
        assert run.finite
