"""What the functions of the package have in common, and each one's values; those of rkd are in their own file."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_relation.functional import (
    cc_loss,
    channel_correlations,
    fsp_loss,
    fsp_matrix,
    ickd_loss,
    info_nce_loss,
    nce_loss,
    pkt_loss,
    sp_loss,
)
from kdzoo_relation.functional.vectors import unit


def normal(seed, *shape):
    """The catalogue's fixed tensors: numpy's RandomState stream is frozen by NumPy policy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


SHAPES = [(8, 8, 8), (16, 4, 4), (16, 2, 2)]
EMBEDDINGS = normal(20, 8, 16), normal(21, 8, 16)
MAPS = normal(10, 8, 16, 4, 4), normal(11, 8, 16, 4, 4)
STAGES = (
    [normal(30 + i, 8, *shape) for i, shape in enumerate(SHAPES)],
    [normal(40 + i, 8, *shape) for i, shape in enumerate(SHAPES)],
)


def cc_code(student, teacher):
    return cc_loss(student, teacher, form="code")


def fsp_of_two(student, teacher):
    return fsp_loss([student, student[:, :, :2, :2]], [teacher, teacher[:, :, :2, :2]])


LOSSES = {  # each with fixed tensors on which it is called
    "sp": (sp_loss, MAPS),
    "cc": (cc_loss, EMBEDDINGS),
    "cc-code": (cc_code, EMBEDDINGS),
    "pkt": (pkt_loss, EMBEDDINGS),
    "fsp": (fsp_of_two, MAPS),
    "ickd": (ickd_loss, MAPS),
    "info-nce": (info_nce_loss, EMBEDDINGS),
}
each = pytest.mark.parametrize(("loss", "tensors"), LOSSES.values(), ids=LOSSES.keys())


def gradient(loss, tensor):
    return torch.autograd.grad(loss, tensor)[0]


# Values


def test_sp_has_the_reference_values():
    student = MAPS[0].clone().requires_grad_()
    loss = sp_loss(student, MAPS[1])
    assert loss.item() == pytest.approx(0.00601080576722, rel=1e-6)
    assert gradient(loss, student).norm().item() == pytest.approx(0.00245121681, rel=1e-6)


def test_sp_scales_rows_by_their_euclidean_norm():
    """By hand; with the sum of absolute values, as in one published port, the result is another."""
    student, teacher = torch.eye(2), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    rows = torch.tensor([[25.0, 4.0], [4.0, 1.0]])
    rows = rows / rows.norm(dim=1, keepdim=True)
    assert sp_loss(student, teacher).item() == pytest.approx(((torch.eye(2) - rows) ** 2).sum().item() / 4)


def test_cc_is_its_definition():
    """The kernel's series tends to the Gaussian kernel itself."""
    student, teacher = normal(0, 5, 3), normal(1, 5, 7)

    def kernel(points):
        points = points / points.norm(dim=1, keepdim=True)
        return torch.exp(-0.4 * torch.cdist(points, points).square())

    exact = (kernel(student) - kernel(teacher)).square().mean().item()
    assert cc_loss(student, teacher, order=12).item() == pytest.approx(exact, rel=1e-6)
    assert cc_loss(student, teacher, order=2).item() != pytest.approx(exact, rel=1e-3)

    def series(points):
        points = points / points.norm(dim=1, keepdim=True)
        alike = points @ points.T
        return math.exp(-0.8) * (1 + 0.8 * alike + 0.32 * alike**2)

    expected = (series(student) - series(teacher)).square().mean().item()
    assert cc_loss(student, teacher, gamma=0.4, order=2).item() == pytest.approx(expected, rel=1e-9)


def test_the_code_of_cc_multiplies_the_errors_of_neighbours():
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    loss = cc_loss(student, torch.zeros(3, 2), form="code")  # (1 0)(0 2) and (0 2)(3 3)
    assert loss.item() == pytest.approx((0 + 6) / 2)
    assert cc_loss(student[[0, 2, 1]], torch.zeros(3, 2), form="code").item() == pytest.approx((3 + 6) / 2)
    assert cc_loss(student[:1], torch.zeros(1, 2), form="code").item() == 0.0


def test_pkt_has_the_reference_value_and_a_row_for_each_sample():
    student, teacher = EMBEDDINGS
    assert pkt_loss(student, teacher).item() == pytest.approx(0.003394030087, rel=1e-6)
    each_row = pkt_loss(student, teacher, reduction="none")
    assert each_row.shape == (8,)
    assert each_row.mean().item() == pytest.approx(pkt_loss(student, teacher).item())


def test_pkt_is_a_divergence_from_the_teacher():
    student, teacher = normal(0, 4, 3), normal(1, 4, 5)

    def probabilities(points):
        points = points / points.norm(dim=1, keepdim=True)
        alike = (points @ points.T + 1) / 2
        return alike / alike.sum(dim=1, keepdim=True)

    ours, theirs = probabilities(student), probabilities(teacher)
    expected = (theirs * (theirs / ours).log()).mean(dim=1)
    torch.testing.assert_close(pkt_loss(student, teacher, reduction="none"), expected, rtol=1e-4, atol=1e-7)


def test_fsp_matrix_is_by_hand():
    shallow = torch.tensor([[[1.0, 2.0], [3.0, 8.0]]]).reshape(1, 1, 2, 2)
    deep = torch.tensor([10.0, 1.0]).reshape(1, 2, 1, 1)
    torch.testing.assert_close(fsp_matrix(shallow, deep, pool="max"), torch.tensor([[[80.0, 8.0]]]))
    torch.testing.assert_close(fsp_matrix(shallow, deep, pool="average"), torch.tensor([[[35.0, 3.5]]]))
    torch.testing.assert_close(fsp_matrix(shallow, shallow), torch.tensor([[[78.0 / 4]]]))


def test_fsp_has_the_code_s_reference_value_and_sums_what_the_paper_sums():
    assert fsp_loss(*STAGES, form="code").item() == pytest.approx(0.1575855439712438, rel=1e-9)
    expected = torch.zeros(8, dtype=torch.float64)
    for level in (0, 1):
        ours, theirs = (fsp_matrix(side[level], side[level + 1]) for side in STAGES)
        expected += (ours - theirs).square().sum(dim=(1, 2))
    torch.testing.assert_close(fsp_loss(*STAGES, reduction="none"), expected)
    assert fsp_loss(*STAGES).item() == pytest.approx(expected.mean().item())


def test_fsp_does_not_ask_for_the_same_size_of_maps():
    student, teacher = ([one[..., :2, :2] for one in stages] for stages in STAGES)
    larger = [one.repeat_interleave(3, dim=2) for one in teacher]
    assert fsp_loss(student, larger).item() == pytest.approx(fsp_loss(student, teacher).item())


def test_ickd_is_its_definition_in_both_forms():
    student, teacher = normal(0, 2, 3, 2, 2), normal(1, 2, 3, 4, 4)
    for sample in range(2):
        matrices = []
        for maps in (student, teacher):
            rows = maps[sample].flatten(1)
            matrices.append(torch.stack([torch.stack([a @ b for a in rows]) for b in rows]))
        ours, theirs = matrices
        torch.testing.assert_close(channel_correlations(student)[sample], ours)
        paper = ickd_loss(student, teacher, form="paper", reduction="none")[sample]
        assert paper.item() == pytest.approx(((ours - theirs) ** 2).sum().item() / 9)
        ours, theirs = (one / one.norm(dim=1, keepdim=True) for one in matrices)
        code = ickd_loss(student, teacher, form="code", reduction="none")[sample]
        assert code.item() == pytest.approx(((ours - theirs) ** 2).sum().item() / 3)


def test_nce_is_the_paper_s_critic():
    """h = e^s / (e^s + K Z / M) on 3 negatives of M samples, by the formula."""
    positive, negative = normal(0, 2), normal(1, 2, 3)
    partition = 1.7  # Z / M

    def critic(score):
        return score.exp() / (score.exp() + 3 * partition)

    expected = -critic(positive).log() - (1 - critic(negative)).log().sum(dim=1)
    usable = torch.ones(2, 3, dtype=torch.bool)
    loss = nce_loss(
        positive, negative, usable, negatives=3, log_partition=math.log(partition), reduction="none"
    )
    torch.testing.assert_close(loss, expected)


def test_nce_leaves_out_what_is_no_negative_and_keeps_the_weight_of_k():
    positive, negative = normal(0, 2), normal(1, 2, 3)
    usable = torch.tensor([[True, False, True], [False, False, False]])
    some = nce_loss(positive, negative, usable, negatives=10, reduction="none")
    fewer = nce_loss(
        positive[:1],
        negative[:1, [0, 2]],
        torch.ones(1, 2, dtype=torch.bool),
        negatives=10,
        reduction="none",
    )
    assert some[0].item() == pytest.approx(fewer.item())
    assert some[1].item() == pytest.approx(-math.log(positive[1].exp() / (positive[1].exp() + 10)))
    assert nce_loss(positive, negative, usable, negatives=10).item() == pytest.approx(some.mean().item())


def test_nce_is_finite_at_any_score():
    scores = torch.tensor([500.0, -500.0]).requires_grad_()
    usable = torch.ones(2, 1, dtype=torch.bool)
    loss = nce_loss(scores, scores.unsqueeze(1), usable, negatives=16384)
    assert loss.isfinite()
    assert gradient(loss, scores).isfinite().all()


def test_info_nce_is_both_directions_and_leaves_out_the_ignored():
    student, teacher = normal(0, 3, 4), normal(1, 3, 4)
    scores = torch.nn.functional.cosine_similarity(student[:, None], teacher[None], dim=2) / 0.5
    expected = -scores.log_softmax(dim=1).diagonal() - scores.log_softmax(dim=0).diagonal()
    torch.testing.assert_close(info_nce_loss(student, teacher, temperature=0.5, reduction="none"), expected)
    ignored = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    loss = info_nce_loss(student, teacher, temperature=0.5, ignored=ignored, reduction="none")
    pair, two = scores[0, 0], scores[0, [0, 2]]
    back = scores[[0, 2], 0]
    assert loss[0].item() == pytest.approx((two.logsumexp(0) + back.logsumexp(0) - 2 * pair).item())
    everything = torch.ones(3, 3, dtype=torch.bool)
    assert info_nce_loss(student, teacher, ignored=everything).item() == pytest.approx(0.0)


# What holds for all


@each
def test_gradients_are_right_on_both_sides(loss, tensors):
    student, teacher = (one[:3, :4].detach().clone().requires_grad_() for one in tensors)
    assert gradcheck(loss, (student, teacher), fast_mode=student.ndim == 4)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_gradients_of_the_other_forms_are_right(form):
    student, teacher = (one[:2, :3].detach().clone().requires_grad_() for one in MAPS)
    assert gradcheck(lambda *both: ickd_loss(*both, form=form), (student, teacher), fast_mode=True)
    stages = [one.detach()[:2].clone().requires_grad_() for one in [*STAGES[0][1:], *STAGES[1][1:]]]
    assert gradcheck(
        lambda *four: fsp_loss(four[:2], four[2:], form=form, reduction="none"), stages, fast_mode=True
    )


def test_gradients_of_nce_are_right():
    usable = torch.tensor([[True, False, True], [True, True, True]])

    def loss(positive, negative):
        return nce_loss(positive, negative, usable, negatives=5, log_partition=0.3, reduction="none")

    assert gradcheck(loss, (normal(0, 2).requires_grad_(), normal(1, 2, 3).requires_grad_()))


@pytest.mark.parametrize("name", ["sp", "cc", "cc-code", "pkt", "fsp", "ickd"])
def test_nothing_to_learn_from_an_equal(name):
    loss, (student, _) = LOSSES[name]
    student = student.clone().requires_grad_()
    value = loss(student, student.detach())
    assert value.item() == pytest.approx(0.0, abs=1e-12)
    assert gradient(value, student).norm().item() < 1e-6


@pytest.mark.parametrize("name", ["sp", "cc", "pkt", "fsp", "ickd", "info-nce"])
def test_the_order_of_the_batch_does_not_matter(name):
    loss, (student, teacher) = LOSSES[name]
    order = torch.from_numpy(np.random.RandomState(0).permutation(8))
    torch.testing.assert_close(loss(student, teacher), loss(student[order], teacher[order]))


@pytest.mark.parametrize("loss", [sp_loss, cc_loss, pkt_loss])
def test_turning_and_scaling_an_embedding_changes_nothing_and_widths_may_differ(loss):
    student, teacher = EMBEDDINGS
    turn, _ = torch.linalg.qr(normal(5, 16, 16))
    wider = torch.cat([3.0 * teacher @ turn, torch.zeros(8, 4)], dim=1)
    torch.testing.assert_close(loss(student, wider), loss(student, teacher))


@each
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(loss, tensors, dtype):
    half = loss(*(one.to(dtype) for one in tensors))
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(loss(*tensors).item(), rel=0.05)


@each
def test_autocast_changes_nothing(loss, tensors):
    single = [one.float() for one in tensors]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(*single)
    torch.testing.assert_close(value, loss(*single), rtol=0, atol=0)


@each
def test_dead_samples_are_harmless(loss, tensors):
    """A network that answers nothing but zeros, as behind a dead ReLU: no NaN and no gradient of 1/epsilon."""
    student = tensors[0].clone()
    student[2] = 0
    student.requires_grad_()
    value = loss(student, tensors[1])
    assert value.isfinite()
    assert gradient(value, student).norm().item() < 1000


def test_unit_vectors_of_zeros_stay_zero_and_get_no_gradient():
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    torch.testing.assert_close(unit(vectors), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    assert gradient(unit(vectors).sum(), vectors)[1].abs().sum() == 0


@each
def test_another_batch_is_refused(loss, tensors):
    with pytest.raises(ValueError, match="student and teacher"):
        loss(tensors[0], tensors[1][:7])


def test_other_bad_shapes_and_options_are_refused():
    student, teacher = EMBEDDINGS
    with pytest.raises(ValueError, match=r"not \(8,\)"):
        sp_loss(student[:, 0], teacher)
    with pytest.raises(ValueError, match="widths must be the same, not 16 and 9"):
        cc_loss(student, teacher[:, :9], form="code")
    with pytest.raises(ValueError, match="one width, not 16 and 9"):
        info_nce_loss(student, teacher[:, :9])
    with pytest.raises(ValueError, match="form must be 'paper' or 'code', not 'rbf'"):
        cc_loss(student, teacher, form="rbf")
    with pytest.raises(ValueError, match="reduction must be 'none' or 'mean', not 'sum'"):
        pkt_loss(student, teacher, reduction="sum")
    with pytest.raises(ValueError, match=r"the same B and C, not \(8, 16, 4, 4\) and \(8, 15, 4, 4\)"):
        ickd_loss(MAPS[0], MAPS[1][:, :15])
    with pytest.raises(ValueError, match="two or more stages, not 1 and 1"):
        fsp_loss(MAPS[:1], MAPS[1:])
    with pytest.raises(ValueError, match=r"\(B, N\)"):
        nce_loss(torch.zeros(2), torch.zeros(3, 4), torch.ones(3, 4, dtype=torch.bool), negatives=4)


@each
def test_nothing_depends_on_values_on_the_host(loss, tensors):
    """The meta device has no values to read; a GPU would have to stop and wait for them."""
    assert loss(*(one.to("meta") for one in tensors)).shape == ()
