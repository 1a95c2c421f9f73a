"""nst, ab, ft and mgd as knowledge, and the phases of ft."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kdzoo.api import Batch, KdzooError, Output
from kdzoo_feature.ab import ActivationBoundaries
from kdzoo_feature.factor_transfer import FactorTransferPhases
from kdzoo_feature.ft import PART, FactorTransfer
from kdzoo_feature.functional import boundary_loss, factor_loss, generation_loss, hint_loss, nst_loss
from kdzoo_feature.mgd import MGD
from kdzoo_feature.nst import NST

BATCH = Batch(torch.arange(4), {"image": torch.zeros(4, 3, 2, 2)})


class Lender:
    """What these components borrow from a run."""

    def __init__(self):
        self.state = {}
        self.generators = {}

    def generator(self, name):
        return self.generators.setdefault(name, torch.Generator().manual_seed(3))


def output(*shapes, seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    features = tuple(torch.randn(4, *shape, generator=draw).to(dtype).requires_grad_() for shape in shapes)
    return Output(torch.zeros(4, 3), features)


def built(kind, student, teacher, run=None, **settings):
    torch.manual_seed(0)
    knowledge = kind(stages=tuple(range(-len(student.features), 0)), **settings)
    knowledge.build(student, teacher, run or Lender())
    return knowledge


KINDS = [NST, ActivationBoundaries, FactorTransfer, MGD]
PAIRS = [
    ([(8, 4, 4)], [(8, 4, 4)]),
    ([(8, 4, 4)], [(12, 2, 2)]),
    ([(8, 2, 2), (16, 2, 1)], [(24, 5, 5), (24, 5, 5)]),  # a transformer teaches two stages of a convnet
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_every_parameter_and_every_stage_learns(kind, ours, theirs):
    student, teacher = output(*ours), output(*theirs, seed=1)
    knowledge = built(kind, student, teacher)
    loss = knowledge(student, teacher.detach(), BATCH)
    assert loss.shape == (4,)
    loss.mean().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in knowledge.parameters())
    assert all(feature.grad.abs().sum() > 0 for feature in student.features)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_features_meet_float32(kind):
    student, teacher = (output((8, 4, 4), seed=seed, dtype=torch.bfloat16).detach() for seed in (0, 1))
    knowledge = built(kind, student, teacher)
    assert all(one.dtype == torch.float32 for one in knowledge.parameters())
    assert knowledge(student, teacher, BATCH).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_stages_must_pair_up(kind):
    with pytest.raises(KdzooError, match=f"teacher_stages \\({kind.name}\\)"):
        kind(stages=(-3, -2), teacher_stages=(-1,))


@pytest.mark.parametrize("kind", [ActivationBoundaries, FactorTransfer, MGD])
def test_maps_of_one_pixel_work(kind):
    """The deepest stages of most networks at 32 pixels."""
    student, teacher = output((8, 1, 1)), output((6, 1, 1), seed=1)
    loss = built(kind, student, teacher)(student, teacher, BATCH)
    assert loss.isfinite().all()


# nst


def test_nst_sums_the_stages():
    student, teacher = output((5, 4, 4), (6, 2, 2)), output((7, 4, 4), (5, 2, 2), seed=1)
    expected = sum(
        nst_loss(ours, theirs, degree=3, offset=1.0, reduction="none")
        for ours, theirs in zip(student.features, teacher.features, strict=True)
    )
    torch.testing.assert_close(
        built(NST, student, teacher, degree=3, offset=1.0)(student, teacher, BATCH), expected
    )


def test_nst_refuses_maps_without_a_pattern():
    with pytest.raises(KdzooError, match=r"stage -1 .* single pixel: choose shallower"):
        built(NST, output((8, 2, 2), (8, 1, 1)), output((8, 2, 2), (8, 4, 4), seed=1))


# ab


def test_ab_halves_the_weight_of_each_shallower_stage():
    student = output((5, 4, 4), (5, 2, 2), (5, 1, 1))
    teacher = output((5, 4, 4), (5, 2, 2), (5, 1, 1), seed=1)
    knowledge = built(ActivationBoundaries, student, teacher, margin=2.0, scale=0.1)
    for number in range(3):
        knowledge.connectors[number] = nn.Identity()
    pairs = zip((0.25, 0.5, 1.0), student.features, teacher.features, strict=True)
    expected = 0.1 * sum(
        weight * boundary_loss(ours, theirs, margin=2.0, reduction="none") for weight, ours, theirs in pairs
    )
    torch.testing.assert_close(knowledge(student, teacher, BATCH), expected)


# ft


def test_ft_is_both_parts_where_no_algorithm_says_which():
    student, teacher = output((5, 4, 4)), output((6, 4, 4), seed=1)
    run = Lender()
    knowledge = built(FactorTransfer, student, teacher, run, rate=0.5)
    (encoder,), (decoder,), (translator,) = knowledge.encoders, knowledge.decoders, knowledge.translators
    factor = encoder(teacher.features[0])
    assert factor.shape == (4, 3, 4, 4)
    rebuilding = hint_loss(decoder(factor), teacher.features[0], reduction="none")
    transfer = factor_loss(translator(student.features[0]), factor, reduction="none")
    torch.testing.assert_close(knowledge(student, teacher, BATCH), rebuilding + transfer)
    run.state[PART] = "paraphrase"
    torch.testing.assert_close(knowledge(student, teacher, BATCH), rebuilding)
    run.state[PART] = "transfer"
    torch.testing.assert_close(knowledge(student, teacher, BATCH), transfer)


@pytest.mark.parametrize("part", ["paraphrase", "transfer", None])
def test_ft_keeps_the_two_apart(part):
    """The paraphraser learns to rebuild and nothing else; the translator and the student learn its factors."""
    student, teacher = output((5, 4, 4)), output((6, 4, 4), seed=1)
    run = Lender()
    if part:
        run.state[PART] = part
    knowledge = built(FactorTransfer, student, teacher, run)
    knowledge(student, teacher.detach(), BATCH).sum().backward()
    learned = {name.split(".")[0] for name, one in knowledge.named_parameters() if one.grad is not None}
    expected = {"paraphrase": {"encoders", "decoders"}, "transfer": {"translators"}}
    assert learned == expected.get(part, {"encoders", "decoders", "translators"})
    assert (student.features[0].grad is not None) == (part != "paraphrase")
    alone = built(FactorTransfer, student, teacher, Lender())
    alone._rebuilding(teacher.detach())[0].sum().backward()
    if part is None:  # what reaches the paraphraser is its own loss alone
        torch.testing.assert_close(
            knowledge.encoders[0].layers[0].weight.grad, alone.encoders[0].layers[0].weight.grad
        )


def recipe_run(epochs, knowledge="ft"):
    run = Lender()
    taught = () if knowledge is None else (SimpleNamespace(name=knowledge),)
    run.recipe = SimpleNamespace(epochs=epochs, knowledge=taught)
    run.data = SimpleNamespace(train=())
    return run


@pytest.mark.parametrize(
    ("epochs", "fraction", "parts"), [(10, 0.2, (2, 8)), (2, 0.9, (1, 1)), (20, 0.01, (1, 19))]
)
def test_the_paraphraser_comes_first(epochs, fraction, parts):
    run = recipe_run(epochs)
    phases = FactorTransferPhases(fraction=fraction).phases(run)
    seen = [(phase.name, phase.epochs, run.state[PART]) for phase in phases]
    assert seen == [("paraphrase", parts[0], "paraphrase"), ("transfer", parts[1], "transfer")]


@pytest.mark.parametrize("knowledge", [None, "kd"])
def test_the_phases_are_for_ft_alone(knowledge):
    with pytest.raises(KdzooError, match="paraphraser of the knowledge 'ft'"):
        next(FactorTransferPhases().phases(recipe_run(10, knowledge)))


def test_the_phases_need_two_epochs():
    with pytest.raises(KdzooError, match="at least --epochs 2"):
        next(FactorTransferPhases().phases(recipe_run(1)))


# mgd


@pytest.mark.parametrize("mask", ["pixels", "channels"])
def test_mgd_masks_after_aligning_and_before_generating(mask):
    """A mask of everything leaves the generator its biases, and the student nothing."""
    student, teacher = output((5, 3, 3)), output((6, 3, 3), seed=1)
    knowledge = built(MGD, student, teacher, mask=mask, ratio=0.0)
    (generation,) = knowledge.generators
    whole = generation.block(generation.aligner(student.features[0]))
    expected = generation_loss(whole, teacher.features[0], reduction="none")
    torch.testing.assert_close(knowledge(student, teacher, BATCH), expected)
    knowledge.ratio = 1.0
    knowledge(student, teacher, BATCH).sum().backward()
    assert student.features[0].grad.abs().sum() == 0


def test_mgd_draws_from_the_run_and_anew_each_step():
    student, teacher = output((5, 8, 8)), output((6, 8, 8), seed=1)
    run = Lender()
    knowledge = built(MGD, student, teacher, run, ratio=0.5)
    state = run.generator("mgd").get_state()
    first, second = (knowledge(student, teacher, BATCH) for _ in range(2))
    assert not torch.equal(first, second)
    run.generator("mgd").set_state(state)
    assert torch.equal(knowledge(student, teacher, BATCH), first)


def test_mgd_keeps_equal_channels_as_they_are():
    (generation,) = built(MGD, output((6, 3, 3)), output((6, 3, 3), seed=1)).generators
    assert isinstance(generation.aligner, nn.Identity)
