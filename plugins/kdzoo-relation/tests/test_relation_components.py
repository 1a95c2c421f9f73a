import subprocess
import sys
from types import SimpleNamespace
from typing import get_type_hints

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

import kdzoo_relation
from kdzoo.api import UNLABELLED, Batch, KdzooError, Output
from kdzoo_relation import functional
from kdzoo_relation.bank import Bank
from kdzoo_relation.cc import CC
from kdzoo_relation.crd import CRD
from kdzoo_relation.fsp import FSP
from kdzoo_relation.functional.vectors import unit
from kdzoo_relation.ickd import ICKD
from kdzoo_relation.pkt import PKT
from kdzoo_relation.rkd import RKD
from kdzoo_relation.sp import SP

BATCH = Batch(torch.arange(6), {"image": torch.zeros(6, 3, 2, 2)})
LABELS = torch.tensor([0, 0, 1, 1, 2, UNLABELLED, 0, 1, 2, UNLABELLED])


def output(seed, width, *shapes):
    draw = torch.Generator().manual_seed(seed)
    return Output(
        torch.zeros(6, 3),
        tuple(torch.randn(6, *shape, generator=draw).requires_grad_() for shape in shapes),
        torch.randn(6, width, generator=draw).requires_grad_(),
    )


def made_up_run(labels=LABELS):
    draw = torch.Generator().manual_seed(5)
    recipe = SimpleNamespace(data=SimpleNamespace(augment=None))
    return SimpleNamespace(recipe=recipe, data=SimpleNamespace(labels=labels), generator=lambda name: draw)


def built(knowledge, student, teacher, labels=LABELS):
    torch.manual_seed(0)
    knowledge.build(student, teacher, made_up_run(labels))
    return knowledge


def test_the_plugin_announces_itself_without_torch():
    names = list(kdzoo_relation.kdzoo_knowledge())
    assert names == ["rkd", "sp", "cc", "pkt", "fsp", "ickd", "crd"]
    script = "import sys, kdzoo_relation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_rkd_is_the_loss_of_the_embeddings_as_a_scalar():
    student, teacher = output(0, 4), output(1, 9)
    expected = functional.rkd_loss(
        student.embedding, teacher.embedding, distance_weight=2.0, angle_weight=3.0
    )
    loss = RKD(distance=2.0, angle=3.0)(student, teacher, BATCH)
    assert loss.shape == ()
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)


def test_rkd_has_the_papers_weights_and_asks_for_embeddings_only():
    knowledge = RKD()
    assert (knowledge.distance, knowledge.angle) == (25.0, 50.0)
    assert knowledge.taps.embedding
    assert knowledge.taps.student == ()


@pytest.mark.parametrize(
    ("knowledge", "expected"),
    [
        (CC(gamma=0.7, order=3), lambda s, t: functional.cc_loss(s, t, gamma=0.7, order=3)),
        (PKT(), lambda s, t: functional.pkt_loss(s, t, reduction="none")),
        (SP(stages=()), functional.sp_loss),
    ],
)
def test_what_reads_embeddings_is_its_function_and_has_nothing_to_train(knowledge, expected):
    student, teacher = output(0, 4), output(1, 9)
    assert knowledge.taps.embedding
    assert knowledge.taps.student == ()
    loss = built(knowledge, student, teacher)(student, teacher, BATCH)
    torch.testing.assert_close(loss, expected(student.embedding, teacher.embedding), rtol=0, atol=0)
    assert not list(knowledge.parameters())


def test_sp_sums_over_stages_of_any_shape():
    student, teacher = output(0, 4, (8, 4, 4), (16, 1, 1)), output(1, 4, (5, 7, 7), (24, 2, 2))
    knowledge = SP(stages=(-2, -1), teacher_stages=(-3, -1))
    assert (knowledge.taps.of("student"), knowledge.taps.of("teacher")) == ((-2, -1), (-3, -1))
    assert not knowledge.taps.embedding
    expected = sum(functional.sp_loss(*pair) for pair in zip(student.features, teacher.features, strict=True))
    torch.testing.assert_close(knowledge(student, teacher, BATCH), expected)


MAPS = [(8, 7, 7), (12, 4, 4), (16, 2, 2)]
OTHER_MAPS = [(8, 4, 4), (24, 4, 4), (24, 4, 4)]  # the first stage has as many channels


@pytest.mark.parametrize(
    ("knowledge", "stages", "parameters"),
    [
        (FSP(), 3, 2),
        (FSP(form="code"), 3, 2),
        (ICKD(), 1, 3),
        (ICKD(form="paper", stages=(-3, -2)), 2, 6),
        (CC(form="code"), 0, 4),
        (CRD(bank=False), 0, 4),
        (CRD(negatives=4), 0, 4),
        (CRD(negatives=4, positive="bank"), 0, 4),
    ],
)
def test_every_connector_and_every_stage_learns(knowledge, stages, parameters):
    student, teacher = output(0, 4, *MAPS[:stages]), output(1, 9, *OTHER_MAPS[:stages])
    built(knowledge, student, teacher)
    for _ in range(2):  # a bank knows no negatives before the second step
        knowledge.zero_grad()
        loss = knowledge(student, teacher.detach(), BATCH)
        loss.mean().backward()
    assert loss.shape == (() if isinstance(knowledge, CC) else (6,))
    assert len(list(knowledge.parameters())) == parameters
    assert all(parameter.grad.abs().sum() > 0 for parameter in knowledge.parameters())
    learning = student.features if stages else [student.embedding]
    assert all(one.grad.abs().sum() > 0 for one in learning)


def test_fsp_compares_stages_of_as_many_channels_as_they_are():
    student, teacher = output(0, 4, (8, 4, 4), (6, 2, 2)), output(1, 4, (8, 8, 8), (6, 2, 2))
    knowledge = built(FSP(stages=(-2, -1)), student, teacher)
    assert not list(knowledge.parameters())
    expected = functional.fsp_loss(student.features, teacher.features, reduction="none")
    torch.testing.assert_close(knowledge(student, teacher, BATCH), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("knowledge", "settings"),
    [(FSP, {}), (ICKD, {"stages": (-1,)}), (SP, {"stages": (-1,)}), (CC, {"form": "code"}), (CRD, {})],
)
def test_half_precision_meets_float32_connectors(knowledge, settings):
    student, teacher = output(0, 4, *MAPS), output(1, 9, *OTHER_MAPS)
    if knowledge is not FSP:
        student, teacher = (
            Output(one.logits, one.features[-1:], one.embedding) for one in (student, teacher)
        )
    student, teacher = student.map(torch.Tensor.bfloat16), teacher.map(torch.Tensor.bfloat16)
    made = built(knowledge(**settings), student, teacher)
    assert all(parameter.dtype == torch.float32 for parameter in made.parameters())
    assert made(student, teacher, BATCH).dtype == torch.float32


@pytest.mark.parametrize("knowledge", [SP, FSP, ICKD])
def test_stages_must_pair_up(knowledge):
    with pytest.raises(KdzooError, match="teacher_stages"):
        knowledge(stages=(-3, -2), teacher_stages=(-1,))


@pytest.mark.parametrize(
    ("knowledge", "stages"),
    [(SP, (1,)), (SP, (-2, -3)), (FSP, (-1,)), (FSP, ()), (ICKD, ()), (ICKD, (-2, -2))],
)
def test_bad_stages_are_refused_by_their_type(knowledge, stages):
    with pytest.raises(ValidationError):
        TypeAdapter(get_type_hints(knowledge.__init__, include_extras=True)["stages"]).validate_python(stages)


# The bank


def test_a_bank_remembers_with_momentum_and_starts_with_what_it_first_sees():
    bank = Bank(4, 2, device=torch.device("cpu"))
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    index = torch.tensor([2])
    assert not bank.seen.any()
    bank.remember(index, one, 0.75)
    torch.testing.assert_close(bank.rows[index], one, rtol=0, atol=0)
    bank.remember(index, other, 0.75)
    torch.testing.assert_close(bank.rows[index], unit(torch.tensor([[0.75, 0.25]])))
    assert bank.seen.tolist() == [False, False, True, False, False]
    torch.testing.assert_close(bank.rows.norm(dim=1), torch.ones(5))


def test_what_is_not_in_the_data_set_is_not_remembered():
    bank = Bank(2, 2, device=torch.device("cpu"))
    before = bank.rows[:2].clone()
    bank.remember(torch.tensor([-1, -1]), torch.eye(2), 0.5)
    assert not bank.seen.any()
    torch.testing.assert_close(bank.rows[:2], before, rtol=0, atol=0)


def test_the_partition_is_estimated_once_and_kept_over_a_resume():
    bank = Bank(3, 2, device=torch.device("cpu"))
    first = torch.tensor([[0.5, 1.5], [-1.0, 0.0]])
    expected = first.exp().mean().log().item()
    assert bank.log_partition(first).item() == pytest.approx(expected)
    assert bank.log_partition(10 * first).item() == pytest.approx(expected)
    resumed = Bank(3, 2, device=torch.device("cpu"))
    resumed.load_state_dict(bank.state_dict())
    assert resumed.log_partition(10 * first).item() == pytest.approx(expected)


def test_the_banks_have_a_row_for_each_sample_and_travel_with_checkpoints():
    student, teacher = output(0, 4), output(1, 9)
    knowledge = built(CRD(width=8), student, teacher)
    saved = knowledge.state_dict()
    assert saved["our_bank.rows"].shape == saved["their_bank.rows"].shape == (len(LABELS) + 1, 8)
    assert "labels" not in saved
    assert not list(built(CRD(bank=False), student, teacher).named_buffers(prefix="our_bank"))[1:]


def test_negatives_are_other_samples_of_other_classes():
    knowledge = built(CRD(width=8), output(0, 4), output(1, 9))
    rows = torch.arange(len(LABELS))
    alike = knowledge._alike(torch.tensor([0, 5, -1]), rows)
    assert alike[0].nonzero().flatten().tolist() == [0, 1, 6]  # itself and its class
    assert alike[1].nonzero().flatten().tolist() == [5]  # unlabelled: itself alone
    assert not alike[2].any()  # not in the data set


def test_crd_is_the_nce_loss_of_the_bank():
    """Written out with loops, for a bank that knows samples 0 to 5 from one earlier step, and not the others."""
    student, teacher = output(0, 4), output(1, 9)
    knowledge = built(CRD(negatives=64, width=8, temperature=0.2), student, teacher)
    with torch.no_grad():
        knowledge(student, teacher, BATCH)
        ours = [bank.rows.clone() for bank in (knowledge.our_bank, knowledge.their_bank)]
        later, theirs = output(2, 4), output(3, 9)
        loss = knowledge(later, theirs, BATCH)
        answers = unit(knowledge.ours(later.embedding)), unit(knowledge.theirs(theirs.embedding))
    for anchor in range(6):
        expected = 0.0
        for mine, other in ((0, 1), (1, 0)):
            partition = (knowledge.their_bank if mine == 0 else knowledge.our_bank).partition
            offset = torch.log(torch.tensor(64.0)) + partition
            positive = answers[mine][anchor] @ answers[other][anchor] / 0.2
            expected -= torch.nn.functional.logsigmoid(positive - offset)
            label = LABELS[anchor]
            rows = [
                row
                for row in range(len(LABELS))
                if row != anchor and (label == UNLABELLED or LABELS[row] != label)
            ]
            repelled = [
                -torch.nn.functional.logsigmoid(offset - answers[mine][anchor] @ ours[other][row] / 0.2)
                for row in rows
            ]
            expected += 64 * sum(repelled) / len(rows)
        assert loss[anchor].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_code_s_positive_is_what_was_remembered():
    student, teacher = output(0, 4), output(1, 9)
    pair, bank = (
        built(CRD(negatives=64, width=8, positive=positive), student, teacher)
        for positive in ("pair", "bank")
    )
    first = [knowledge(student, teacher, BATCH) for knowledge in (pair, bank)]
    torch.testing.assert_close(*first)  # nothing to remember yet
    again = [knowledge(student, teacher, BATCH) for knowledge in (pair, bank)]
    torch.testing.assert_close(*again)  # the same answer as remembered
    other = [knowledge(output(2, 4), output(3, 9), BATCH) for knowledge in (pair, bank)]
    assert not torch.allclose(*other, rtol=1e-3)


def test_negatives_are_drawn_from_the_run_s_generator_where_the_bank_has_more():
    knowledge = built(CRD(negatives=3, width=8), output(0, 4), output(1, 9))
    draws = torch.stack([knowledge._draw() for _ in range(200)])
    assert draws.shape == (200, 3)
    assert sorted(draws.unique().tolist()) == list(range(len(LABELS)))
    again = built(CRD(negatives=3, width=8), output(0, 4), output(1, 9))
    torch.testing.assert_close(torch.stack([again._draw() for _ in range(200)]), draws)
    everything = built(CRD(negatives=10, width=8), output(0, 4), output(1, 9))
    assert everything._draw().tolist() == list(range(len(LABELS)))


def test_the_bank_free_loss_ignores_the_same_class():
    student, teacher = output(0, 4), output(1, 9)
    knowledge = built(CRD(bank=False, width=8), student, teacher)
    alike = LABELS[:6, None] == LABELS[None, :6]
    alike[5, 5] = False  # unlabelled
    expected = functional.info_nce_loss(
        knowledge.ours(student.embedding),
        knowledge.theirs(teacher.embedding),
        ignored=alike,
        reduction="none",
    )
    torch.testing.assert_close(knowledge(student, teacher, BATCH), expected)


def test_the_bank_s_size_is_that_of_the_data_not_of_the_negatives():
    """No tensor of (batch, negatives, width), which the authors' code makes."""
    knowledge = built(CRD(width=8), output(0, 4), output(1, 9))
    shapes = []

    class Recording(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                shapes.append(result.numel())
            return result

    with Recording():
        knowledge(output(0, 4), output(1, 9), BATCH)
    assert max(shapes) <= (len(LABELS) + 1) * 9
