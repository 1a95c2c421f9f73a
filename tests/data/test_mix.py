"""mixup and CutMix with withheld labels, and how often and how they happen."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from kdzoo.api import UNLABELLED, Batch, LossKnowledge, Output
from kdzoo.data.mix import Mix
from kdzoo.engine.evaluate import task_loss
from kdzoo.recipe.augment import AugmentConfig

CLASSES = 4
TARGET = torch.tensor([0, -1, 1, -1, -1, 2, 3, -1, -1, 0, -1])


def images(count=11):
    """One value for each image, so that a mixture shows its parts."""
    return (2.0 ** torch.arange(count))[:, None, None, None].expand(-1, 3, 8, 8).clone()


def mixed(target, labels, step=0, **config):
    return Mix(AugmentConfig(**config), CLASSES, 0, labels)(images(len(target)), target, 0, step)


@pytest.mark.parametrize(
    "config", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1.0, "mixup_mode": "elem"}], ids=str
)
def test_without_any_label_the_pictures_are_mixed_alike_and_the_target_stays(config):
    none = torch.full_like(TARGET, UNLABELLED)
    all_labels = TARGET.clamp(min=0)
    for step in range(5):
        found, target = mixed(none, "none", step, **config)
        assert torch.equal(target, none)
        assert torch.equal(found, mixed(all_labels, "all", step, **config)[0])
    assert not torch.equal(found, images())


def partners(found):
    """The images in each mixture, of values that are powers of two, by cutmix."""
    return [sorted({int(value).bit_length() - 1 for value in image.unique()}) for image in found]


def test_with_some_labels_labelled_pictures_are_mixed_with_labelled_ones():
    seen = 0
    for step in range(10):
        found, target = mixed(TARGET, "some", step, cutmix=1.0)
        assert target.shape == (len(TARGET), CLASSES)
        known = TARGET != UNLABELLED
        joined = partners(found)
        one_sided = sum(bool(known[pair].any()) and not bool(known[pair].all()) for pair in joined)
        assert one_sided <= 2, "the two pictures of one pair"
        for row, pair in enumerate(joined):
            assert row in pair
            if not bool(known[pair].all()):
                assert not target[row].any()
                continue
            expected = torch.zeros(CLASSES)
            for one in pair:
                expected[TARGET[one]] += (found[row] == 2.0**one).float().mean()
            torch.testing.assert_close(target[row], expected)
            seen += len(pair) > 1
    assert seen > 20


def test_a_picture_that_is_not_mixed_keeps_its_label_or_none():
    found, target = mixed(TARGET, "some", mixup=1.0, mixup_prob=0.0)
    assert torch.equal(found, images())
    known = TARGET != UNLABELLED
    assert torch.equal(target[known], functional.one_hot(TARGET[known], CLASSES).float())
    assert not target[~known].any()


def test_mixing_happens_as_often_as_asked_and_as_often_by_cutmix():
    target = torch.arange(4) % CLASSES
    happened = cut = 0
    for step in range(400):
        found, _ = mixed(target, "all", step, mixup=1.0, cutmix=1.0, mixup_prob=0.5, mixup_switch_prob=0.25)
        changed = not torch.equal(found, images(4))
        happened += changed
        cut += changed and bool(torch.isin(found, images(4)).all())
    assert 160 < happened < 240
    assert 0.15 < cut / happened < 0.35


def test_modes_are_timm_s():
    target = torch.arange(8) % CLASSES
    weights = {
        mode: mixed(target, "all", mixup=1.0, mixup_mode=mode)[1].amax(1)
        for mode in ("batch", "pair", "elem")
    }
    assert len(weights["batch"].unique()) == 1
    torch.testing.assert_close(weights["pair"], weights["pair"].flip(0))
    assert len(weights["pair"].unique()) == 4
    assert not torch.allclose(weights["elem"], weights["elem"].flip(0))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_task_loss_leaves_out_what_has_no_label(smoothing):
    _, target = mixed(TARGET, "some", mixup=1.0)
    batch = Batch(torch.arange(len(TARGET)), {}, target)
    assert 0 < batch.labelled.sum() < len(TARGET)
    logits = torch.randn(len(TARGET), CLASSES, generator=torch.Generator().manual_seed(0))
    known = batch.labelled
    expected = functional.cross_entropy(logits[known], target[known], label_smoothing=smoothing)
    torch.testing.assert_close(task_loss(logits, target, None, smoothing), expected)
    everything = target[known]
    assert torch.equal(
        task_loss(logits[known], everything, None, smoothing),
        functional.cross_entropy(logits[known], everything, label_smoothing=smoothing),
    ), "bit for bit"
    assert task_loss(logits, torch.zeros_like(target), None, smoothing) == 0
    assert not Batch(torch.arange(2), {}, None).labelled.any()


def test_a_knowledge_that_takes_labels_gets_the_labelled_rows():
    class Counted(LossKnowledge):
        name, target = "counted", True

        @staticmethod
        def loss(student, teacher, target):
            assert (target.sum(1) > 0).all()
            return target.amax(1)

    _, target = mixed(TARGET, "some", mixup=1.0)
    batch = Batch(torch.arange(len(TARGET)), {}, target)
    logits = torch.zeros(len(TARGET), CLASSES)
    found = Counted()(Output(logits), Output(logits), batch)
    torch.testing.assert_close(found, target.amax(1))
