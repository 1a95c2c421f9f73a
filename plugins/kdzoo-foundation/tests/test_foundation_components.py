import subprocess
import sys

import pytest
import timm
import torch
from torch import nn

import kdzoo
import kdzoo_foundation
from kdzoo.api import Batch, KdzooError, Output
from kdzoo_foundation.features import Features
from kdzoo_foundation.functional import feature_loss, log_sum_loss, normalised_loss, patch_similarity_loss
from kdzoo_foundation.queue import Queue
from kdzoo_foundation.srd import SRD
from kdzoo_foundation.standardise import Moments, Rotated, Running
from kdzoo_foundation.vkd import VkD

BATCH = Batch(torch.arange(4), {"image": torch.zeros(4, 3, 2, 2)})
STUDENT, TEACHER = (6, (5, 2, 2)), (3, (4, 3, 3))
"""Width of the embedding, and shape of the last map."""


def output(width, shape, seed=0):
    """Of a network without a classifier: to read its logits is an error."""
    draw = torch.Generator().manual_seed(seed)
    embedding = torch.randn(4, width, generator=draw).requires_grad_()
    return Output(None, (torch.randn(4, *shape, generator=draw).requires_grad_(),), embedding)


def built(knowledge, student=STUDENT, teacher=TEACHER):
    ours, theirs = output(*student), output(*teacher, seed=1).detach()
    torch.manual_seed(0)
    knowledge.build(ours, theirs, None)
    return knowledge, ours, theirs


EVERY = [
    Features(),
    Features(projector="mlp", width=7, loss="mse"),
    Features(dense=1.0, pooled=0.5),
    Features(dense=1.0, pooled=0.0, dense_loss="mse"),
    Features(dense=1.0, dense_loss="kl"),
    Features(standardise=False),
    SRD(),
    VkD(),
    VkD(norm="whiten"),
]


def test_the_plugin_announces_itself_without_torch():
    assert set(kdzoo_foundation.kdzoo_knowledge()) == {"features", "queue", "srd", "vkd"}
    assert set(kdzoo_foundation.kdzoo_schemes()) == {"agglomerate"}
    assert set(kdzoo_foundation.kdzoo_algorithms()) == {"agglomerate", "proteus", "proxy"}
    script = "import sys, kdzoo_foundation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("knowledge", EVERY, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("teacher", [TEACHER, (9, (8, 2, 2)), (6, (5, 2, 2))])
def test_every_parameter_and_the_student_learn_without_labels_and_logits(knowledge, teacher):
    knowledge, ours, theirs = built(knowledge, teacher=teacher)
    knowledge(ours, theirs, BATCH).mean().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in knowledge.parameters())
    assert list(knowledge.parameters())
    read = [ours.embedding] if knowledge.taps.embedding else []
    read += ours.features if knowledge.taps.student else []
    assert all(one.grad.abs().sum() > 0 for one in read)
    knowledge.zero_grad()


def test_the_loss_is_the_weighted_sum_of_the_terms():
    knowledge, ours, theirs = built(Features(pooled=2.0, dense=3.0, standardise=False))
    head = knowledge.head
    pooled = feature_loss(head.pooled(ours.embedding), theirs.embedding, reduction="none")
    grown = nn.functional.interpolate(head.mapped(ours.features[0]), (3, 3), mode="bilinear", antialias=True)
    dense = feature_loss(grown, theirs.features[0], reduction="none")
    torch.testing.assert_close(knowledge(ours, theirs, BATCH), 2 * pooled + 3 * dense)


def test_patches_are_compared_without_a_projector():
    knowledge, ours, theirs = built(Features(pooled=0.0, dense=1.0, dense_loss="kl"))
    assert not list(knowledge.parameters())
    grown = nn.functional.interpolate(ours.features[0], (3, 3), mode="bilinear", antialias=True)
    expected = patch_similarity_loss(grown, theirs.features[0], reduction="none")
    torch.testing.assert_close(knowledge(ours, theirs, BATCH), expected)
    with pytest.raises(KdzooError, match="single position"):
        built(Features(dense=1.0, dense_loss="kl"), teacher=(3, (4, 1, 1)))


@pytest.mark.parametrize("settings", [{"pooled": 0.0}, {"cosine": 0.0, "smooth": 0.0}])
def test_nothing_to_teach_is_refused(settings):
    with pytest.raises(KdzooError, match="nothing is taught"):
        Features(**settings)


def test_only_what_is_compared_is_tapped():
    assert (Features().taps.of("student"), Features().taps.embedding) == ((), True)
    dense = Features(pooled=0.0, dense=1.0)
    assert (dense.taps.of("teacher"), dense.taps.embedding) == ((0,), False)


def test_running_averages_are_those_of_all_samples_at_first():
    standard = Running(3, 0.01)
    parts = [
        torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(seed)) * 3 + 1 for seed in range(5)
    ]
    for part in parts:
        standard(part)
    rows = torch.cat(parts).transpose(0, 1).flatten(1)
    torch.testing.assert_close(standard.mean, rows.mean(dim=1))
    torch.testing.assert_close(standard.variance, rows.var(dim=1, unbiased=False))


def test_running_averages_forget_and_stand_still_in_eval_mode():
    standard = Running(1, 0.5)
    for value in (0.0, 4.0, 8.0):
        standard(torch.tensor([[value - 1], [value + 1]]))
    # 0, then (0 + 4) / 2, then (2 + 8) / 2; variances 1, then 1 + 1/4 · 16, then 3 + 1/4 · 36
    torch.testing.assert_close(standard.mean, torch.tensor([5.0]))
    torch.testing.assert_close(standard.variance, torch.tensor([12.0]))
    before = {name: one.clone() for name, one in standard.state_dict().items()}
    found = standard.eval()(torch.tensor([[5.0]]))
    torch.testing.assert_close(found, torch.zeros(1, 1))
    assert all(torch.equal(one, before[name]) for name, one in standard.state_dict().items())


def test_averages_are_saved_and_no_gradient_reaches_them():
    knowledge, ours, theirs = built(Features(dense=1.0))
    for _ in range(3):
        knowledge(ours, theirs, BATCH)
    state = knowledge.state_dict()
    assert {"head.pooled_standard.mean", "head.dense_standard.variance"} <= state.keys()
    assert not any(name.endswith(("mean", "variance")) for name, _ in knowledge.named_parameters())
    again, _, _ = built(Features(dense=1.0))
    again.load_state_dict(state)
    torch.testing.assert_close(again.eval()(ours, theirs, BATCH), knowledge.eval()(ours, theirs, BATCH))


def test_the_teacher_stays_bitwise_as_it_was():
    for knowledge in (*EVERY, Queue(8)):
        made, ours, theirs = built(knowledge)
        before = theirs.map(torch.clone)
        made(ours, theirs, BATCH).mean().backward()
        assert torch.equal(theirs.embedding, before.embedding)
        assert torch.equal(theirs.features[0], before.features[0])


def test_moments_give_a_rotation_after_which_every_channel_has_variance_one():
    rows = torch.randn(300, 6, generator=torch.Generator().manual_seed(0)) @ torch.randn(6, 6) + 5
    moments = Moments(6, rows.device)
    for part in rows.split(70):
        moments.add(part)
    rotated = Rotated(*moments.found())
    found = rotated(rows)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.var(dim=0, unbiased=False), torch.ones(6), atol=1e-4, rtol=0)
    maps = rows[:, :, None, None].expand(-1, -1, 2, 1)
    torch.testing.assert_close(rotated(maps)[:, :, 1, 0], found, atol=1e-5, rtol=1e-5)
    assert not list(rotated.parameters())


def test_the_queue_keeps_the_last_embeddings():
    knowledge, ours, theirs = built(Queue(6, projector="linear"))
    assert knowledge(ours, theirs, BATCH).abs().max() == 0, "an empty queue has nothing to tell apart"
    unit = nn.functional.normalize(theirs.embedding, dim=1)
    torch.testing.assert_close(knowledge.rows[:4], unit)
    assert knowledge.filled.tolist() == [True] * 4 + [False] * 2
    loss = knowledge(ours, theirs, BATCH)
    assert bool((loss > 0).all())
    loss.mean().backward()
    assert knowledge.projector.weight.grad.abs().sum() > 0
    assert int(knowledge.place) == 2
    torch.testing.assert_close(knowledge.rows[[4, 5, 0, 1]], unit)
    before = knowledge.rows.clone()
    knowledge.eval()(ours, theirs, BATCH)
    assert torch.equal(knowledge.rows, before)


@pytest.mark.parametrize("width", [3, 6, 9])
def test_the_projector_of_vkd_stays_orthogonal(width):
    knowledge, ours, theirs = built(VkD(), teacher=(width, (4, 2, 2)))
    optimizer = torch.optim.SGD(knowledge.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        loss = knowledge(ours, theirs, BATCH).mean()
        loss.backward()
        optimizer.step()
    weight = knowledge.projector.weight
    gram = weight.T @ weight if width > 6 else weight @ weight.T
    torch.testing.assert_close(gram, torch.eye(min(width, 6)), atol=1e-5, rtol=0)
    projected = knowledge.projector(ours.embedding)
    expected = normalised_loss(projected, theirs.embedding, reduction="none")
    torch.testing.assert_close(knowledge(ours, theirs, BATCH), expected)


def test_srd_is_the_log_sum_behind_its_projector():
    knowledge, ours, theirs = built(SRD(power=3.0))
    expected = log_sum_loss(knowledge.projector(ours.embedding), theirs.embedding, power=3.0)
    torch.testing.assert_close(knowledge(ours, theirs, BATCH), expected)


def test_half_precision_features_are_compared_in_float32():
    knowledge, ours, theirs = built(Features())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert knowledge(ours, theirs, BATCH).dtype == torch.float32


def test_an_own_loop_learns_features_without_labels():
    torch.manual_seed(0)
    student, teacher = (
        timm.create_model(name, num_classes=0) for name in ("test_efficientnet", "test_resnet")
    )
    distiller = kdzoo.Distiller(student, teacher, "features", example=torch.zeros(2, 3, 32, 32))
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=3e-3)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        found = distiller(images)
        found["total"].backward()
        optimizer.step()
        losses.append(float(found["total"].detach()))
        assert found["task"] == 0
    assert losses[-1] < 0.7 * losses[0]
    assert float(distiller.connectors[0].head.pooled_standard.batches) == 12
