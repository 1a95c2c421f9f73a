"""Every loss on logits after kd and dkd: against its definition, written out with loops in numpy."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_response.functional import (
    ctkd_loss,
    dist_loss,
    dkd_loss,
    hard_loss,
    kd_loss,
    mlkd_loss,
    nkd_loss,
    ofa_loss,
    reversed_gradient,
    standardized,
    wsld_loss,
    wsld_weight,
)

BATCH, CLASSES = 8, 10


def normal(seed, *shape, scale=1.0):
    """The catalogue's fixed tensors: numpy's RandomState stream is frozen by NumPy policy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape) * scale)


TARGET = torch.from_numpy(np.random.RandomState(3).randint(0, CLASSES, BATCH)).long()
SAMPLES = {
    "kd": kd_loss,
    "dkd": lambda s, t, **kw: dkd_loss(s, t, TARGET, **kw),
    "nkd": lambda s, t, **kw: nkd_loss(s, t, TARGET, **kw),
    "wsld": lambda s, t, **kw: wsld_loss(s, t, TARGET, **kw),
    "ctkd": lambda s, t, **kw: ctkd_loss(s, t, torch.tensor(3.0, device=s.device, dtype=s.dtype), **kw),
    "ofa": lambda s, t, **kw: ofa_loss(s, t, TARGET, gamma=1.5, **kw),
    "ofa code": lambda s, t, **kw: ofa_loss(s, t, TARGET, gamma=1.5, form="code", **kw),
    "hard": hard_loss,
}
BATCHES = {
    "dist": dist_loss,
    "mlkd": mlkd_loss,
    "masked mlkd": lambda s, t, **kw: mlkd_loss(s, t, masked=True, **kw),
}
ALL = SAMPLES | BATCHES
STANDARDIZED = ["kd", "dkd", "nkd", "wsld", "ctkd", "dist", "mlkd"]


@pytest.fixture
def student():
    return normal(1, BATCH, CLASSES, scale=2.0).requires_grad_()


@pytest.fixture
def teacher():
    return normal(2, BATCH, CLASSES, scale=3.0)


@pytest.fixture
def rows(student, teacher):
    return list(zip(student.detach().numpy(), teacher.numpy(), TARGET.tolist(), strict=True))


def gradient(loss, tensor):
    return torch.autograd.grad(loss, tensor)[0]


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def entropy(p, q):
    return -(p * np.log(q)).sum()


def same(loss, expected):
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-9)


def test_dist_has_the_reference_value(student, teacher):
    loss = dist_loss(student, teacher)
    assert loss.item() == pytest.approx(1.84242606521, rel=1e-6)
    assert gradient(loss, student).norm().item() == pytest.approx(0.157725639, rel=1e-6)


def test_nkd_is_its_definition(student, teacher, rows):
    expected = []
    for s, t, true in rows:
        rest = entropy(softmax(np.delete(t, true) / 2), softmax(np.delete(s, true) / 2))
        expected.append(-softmax(t)[true] * np.log(softmax(s)[true]) + 1.5 * 4 * rest)
    same(nkd_loss(student, teacher, TARGET, gamma=1.5, temperature=2.0, reduction="none"), expected)


def test_wsld_is_its_definition(student, teacher, rows):
    expected = []
    for s, t, true in rows:
        weight = 1 - np.exp(-np.log(softmax(s)[true]) / (np.log(softmax(t)[true]) - 1e-7))
        expected.append(weight * 9 * entropy(softmax(t / 3), softmax(s / 3)))
    same(wsld_loss(student, teacher, TARGET, temperature=3.0, reduction="none"), expected)


def test_wsld_weighs_down_what_the_student_knows_better_and_up_what_it_does_not():
    sure, wrong = torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([[0.0, 9.0, 0.0]])
    label = torch.tensor([0])
    assert wsld_weight(sure, wrong, label).item() < 1e-3
    assert wsld_weight(wrong, sure, label).item() > 0.999
    assert wsld_weight(wrong, wrong, label).item() == pytest.approx(1 - np.exp(-1), rel=1e-5)


def test_wsld_weights_take_mixed_labels_and_the_teachers_class_where_there_is_none(student, teacher):
    onehot = torch.eye(CLASSES, dtype=torch.float64)
    weight = wsld_weight(student, teacher, TARGET)
    torch.testing.assert_close(wsld_weight(student, teacher, onehot[TARGET]), weight)
    mixed = 0.7 * onehot[TARGET] + 0.3 * onehot[TARGET.roll(1)]
    ours, theirs = (-(mixed * one.log_softmax(1)).sum(1) for one in (student.detach(), teacher))
    torch.testing.assert_close(
        wsld_weight(student, teacher, mixed), 1 - (-ours / theirs).exp(), rtol=1e-5, atol=0
    )
    predicted = wsld_weight(student, teacher, teacher.argmax(1))
    torch.testing.assert_close(wsld_weight(student, teacher, None), predicted)
    torch.testing.assert_close(wsld_weight(student, teacher, torch.full_like(TARGET, -1)), predicted)
    torch.testing.assert_close(wsld_weight(student, teacher, torch.zeros(BATCH, CLASSES)), predicted)
    assert not weight.requires_grad


def test_dist_is_its_definition(student, teacher):
    ours, theirs = (
        np.stack([softmax(row / 2) for row in one.detach().numpy()]) for one in (student, teacher)
    )
    inter = 1 - np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(ours, theirs, strict=True)])
    intra = 1 - np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T, strict=True)])
    loss = dist_loss(student, teacher, beta=2.0, gamma=3.0, temperature=2.0)
    assert loss.item() == pytest.approx(4 * (2 * inter + 3 * intra), rel=1e-5)  # an epsilon of 1e-8 is ours


def test_dist_of_one_sample_has_no_intra_class_part(student, teacher):
    loss = dist_loss(student[:1], teacher[:1], beta=0.0)
    assert loss.item() == 1.0
    assert gradient(loss, student).abs().sum() == 0


def test_mlkd_is_its_definition(student, teacher):
    def likely(one, temperature):
        return np.stack([softmax(row / temperature) for row in one.detach().numpy()])

    expected = 0.0
    for at in (2.0, 5.0):
        s, t = likely(student, at), likely(teacher, at)
        divergence = at**2 * np.mean([entropy(b, a) - entropy(b, b) for a, b in zip(s, t, strict=True)])
        batch = np.square(s @ s.T - t @ t.T).sum() / BATCH
        classes = np.square(s.T @ s - t.T @ t).sum() / CLASSES
        expected += 2 * divergence + 3 * batch + 5 * classes
    loss = mlkd_loss(student, teacher, instance=2.0, batch=3.0, classes=5.0, temperatures=(2.0, 5.0))
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("term", ["instance", "batch", "classes"])
def test_masked_mlkd_counts_what_the_teacher_is_least_sure_of(term, student, teacher):
    """Nothing that it learns from a sample or class left out, where each is alone in its term."""
    weights = {**dict.fromkeys(("instance", "batch", "classes"), 0.0), term: 1.0}
    loss = mlkd_loss(student, teacher, **weights, masked=True)
    likely = teacher.softmax(1).numpy()
    few = [likely.max(1), likely.sum(0)][term == "classes"]
    kept = few <= np.percentile(few, 50)
    assert kept.sum() == len(few) // 2
    expected = 0.0
    for at in (2.0, 3.0, 4.0, 5.0, 6.0):
        s, t = ((one / at).softmax(1).detach().numpy() for one in (student, teacher))
        if term == "instance":
            each = [at**2 * (entropy(b, a) - entropy(b, b)) for a, b in zip(s, t, strict=True)]
        else:
            s, t = (s.T, t.T) if term == "classes" else (s, t)
            each = np.square(s @ s.T - t @ t.T).sum(1)
        expected += (np.asarray(each) * kept).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_ctkd_is_kd_with_a_gradient_to_the_temperature(student, teacher):
    temperature = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    loss = ctkd_loss(student, teacher, temperature)
    torch.testing.assert_close(loss, kd_loss(student, teacher, temperature=3.0))
    above, below = (kd_loss(student, teacher, temperature=3.0 + step).item() for step in (1e-5, -1e-5))
    assert gradient(loss, temperature).item() == pytest.approx((above - below) / 2e-5, rel=1e-6)


def test_the_gradient_comes_back_reversed():
    theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    value = reversed_gradient(theta, 0.25)
    assert value.item() == theta.item()
    assert gradient(value.square(), theta).item() == pytest.approx(-0.25 * 2 * 0.7)


def test_ofa_is_its_definition_in_both_forms(student, teacher, rows):
    paper, code = [], []
    for s, t, true in rows:
        p, q = softmax(t), np.log(softmax(s))
        others = np.delete(np.arange(CLASSES), true)
        paper.append(-((1 + p[true]) ** 1.4) * q[true] - (p * q)[others].sum())
        code.append(-((1 + p[true]) ** 1.4 - 1) * q[true] - (p**1.4 * q)[others].sum())
    same(ofa_loss(student, teacher, TARGET, gamma=1.4, reduction="none"), paper)
    same(ofa_loss(student, teacher, TARGET, gamma=1.4, form="code", reduction="none"), code)


def test_ofa_without_enhancement_is_two_cross_entropies(student, teacher):
    """The paper's starting point: with the label, and with the teacher."""
    label = torch.nn.functional.cross_entropy(student, TARGET)
    soft = torch.nn.functional.cross_entropy(student, teacher.softmax(1))
    torch.testing.assert_close(ofa_loss(student, teacher, TARGET), label + soft)
    torch.testing.assert_close(ofa_loss(student, teacher, TARGET, form="code"), soft)


def test_ofa_takes_the_cross_entropy_inside_with_the_whole_mixture(student, teacher):
    onehot = torch.nn.functional.one_hot(TARGET, CLASSES).to(student)
    mixed = 0.6 * onehot + 0.4 * onehot.roll(1, 0)
    extra = torch.nn.functional.cross_entropy(student, mixed) - torch.nn.functional.cross_entropy(
        student, TARGET
    )
    with_ids = ofa_loss(student, teacher, TARGET, gamma=1.4)
    torch.testing.assert_close(ofa_loss(student, teacher, mixed, gamma=1.4), with_ids + extra)
    torch.testing.assert_close(ofa_loss(student, teacher, onehot, gamma=1.4), with_ids)
    nothing = ofa_loss(student, teacher, torch.zeros_like(mixed), gamma=1.4)
    torch.testing.assert_close(nothing, ofa_loss(student, teacher, None, gamma=1.4))


def test_hard_is_the_cross_entropy_with_the_teachers_decision(student, teacher, rows):
    expected = [-np.log(softmax(s)[t.argmax()]) for s, t, _ in rows]
    same(hard_loss(student, teacher, reduction="none"), expected)


def test_standardised_logits_have_mean_zero_and_the_samples_deviation_one(teacher):
    rows = standardized(teacher)
    np.testing.assert_allclose(rows.numpy().mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(rows.numpy().std(1, ddof=1), 1, atol=1e-6)


def test_equal_logits_become_zeros_without_nan():
    flat = torch.full((2, 4), 3.0, requires_grad=True)
    assert standardized(flat).abs().max() == 0
    loss = kd_loss(flat, torch.eye(2, 4), standardize=True)
    assert gradient(loss, flat).isfinite().all()


@pytest.mark.parametrize("name", STANDARDIZED)
def test_standardised_losses_are_those_of_standardised_logits(name, student, teacher):
    """What is not softened (the target's in nkd, the weights of wsld) and mlkd's similarities keep the raw logits."""
    loss = ALL[name](student, teacher, standardize=True)
    if name == "nkd":
        target = nkd_loss(student, teacher, TARGET, gamma=0.0)
        rest = nkd_loss(standardized(student), standardized(teacher), TARGET) - nkd_loss(
            standardized(student), standardized(teacher), TARGET, gamma=0.0
        )
        torch.testing.assert_close(loss, target + rest)
    elif name == "wsld":
        ours, theirs = standardized(student) / 4, standardized(teacher) / 4
        each = 16 * torch.nn.functional.cross_entropy(ours, theirs.softmax(1), reduction="none")
        torch.testing.assert_close(loss, (wsld_weight(student, teacher, TARGET) * each).mean())
    elif name == "mlkd":
        divergence = mlkd_loss(standardized(student), standardized(teacher), batch=0.0, classes=0.0)
        torch.testing.assert_close(loss, divergence + mlkd_loss(student, teacher, instance=0.0))
    else:
        torch.testing.assert_close(loss, ALL[name](standardized(student), standardized(teacher)))
    assert (loss - ALL[name](student, teacher)).abs() > 1e-4


@pytest.mark.parametrize("name", ["kd", "dkd", "ctkd", "dist", "mlkd"])
def test_standardised_students_need_not_match_the_teachers_scale(name, teacher):
    """Sun et al.: a student whose logits are a shifted and scaled copy has nothing left to learn."""
    student = 0.1 * teacher + 5
    settings = {"batch": 0.0, "classes": 0.0} if name == "mlkd" else {}
    assert ALL[name](student, teacher, standardize=True, **settings).item() == pytest.approx(0, abs=1e-5)
    assert ALL[name](student, teacher).item() > 0.01


@pytest.mark.parametrize("name", ["kd", "ctkd", "dist", "mlkd", "masked mlkd"])
def test_nothing_to_learn_from_an_equal(name, student):
    loss = ALL[name](student, student.detach())
    assert abs(loss.item()) < 1e-5  # dist has an epsilon of 1e-8
    assert gradient(loss, student).norm() < 1e-5


@pytest.mark.parametrize("name", ALL)
class TestEach:
    def test_the_gradient_is_right(self, name, student, teacher):
        # The weights of wsld are constants by definition: numbers would see them change.
        if name == "wsld":
            weight = wsld_weight(student, teacher, TARGET)
            each = torch.nn.functional.cross_entropy(student / 4, (teacher / 4).softmax(1), reduction="none")
            expected = gradient((16 * weight * each).mean(), student)
            torch.testing.assert_close(gradient(ALL[name](student, teacher), student), expected)
        else:
            assert gradcheck(lambda s: ALL[name](s, teacher), (student,))

    def test_the_order_of_the_samples_does_not_matter(self, name, student, teacher, monkeypatch):
        order = torch.from_numpy(np.random.RandomState(0).permutation(BATCH))
        before = ALL[name](student, teacher)
        monkeypatch.setitem(globals(), "TARGET", TARGET[order])
        torch.testing.assert_close(ALL[name](student[order], teacher[order]), before)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_is_computed_in_float32(self, name, dtype, student, teacher):
        half = ALL[name](student.to(dtype), teacher.to(dtype))
        assert half.dtype == torch.float32
        assert half.item() == pytest.approx(ALL[name](student, teacher).item(), rel=0.05)

    def test_certainty_overflows_nothing(self, name, student, teacher):
        logits = (student * 1e3).float().detach().requires_grad_()
        loss = ALL[name](logits, (teacher * 1e3).float())
        assert loss.isfinite()
        assert gradient(loss, logits).isfinite().all()

    def test_a_wrong_shape_is_refused(self, name, student, teacher):
        with pytest.raises(ValueError, match=r"\(8, 10\) and \(8, 1\)"):
            ALL[name](student, teacher[:, :1])

    def test_nothing_depends_on_values_on_the_host(self, name, monkeypatch):
        """The meta device has no values to read; a GPU would have to stop and wait for them."""
        logits = torch.empty(BATCH, CLASSES, device="meta")
        monkeypatch.setitem(globals(), "TARGET", TARGET.to("meta"))
        assert ALL[name](logits, logits).shape == ()


@pytest.mark.parametrize("name", SAMPLES)
def test_the_mean_is_the_mean_of_the_samples(name, student, teacher):
    samples = SAMPLES[name](student, teacher, reduction="none")
    assert samples.shape == (BATCH,)
    torch.testing.assert_close(samples.mean(), SAMPLES[name](student, teacher))
    with pytest.raises(ValueError, match="'sum'"):
        SAMPLES[name](student, teacher, reduction="sum")


@pytest.mark.parametrize("loss", [nkd_loss, ofa_loss, wsld_loss])
def test_the_teachers_class_stands_in_for_a_label(loss, student, teacher):
    expected = loss(student, teacher, teacher.argmax(1))
    assert (expected - loss(student, teacher, TARGET)).abs() > 1e-3
    for nothing in (None, torch.full_like(TARGET, -1), torch.zeros(BATCH, CLASSES)):
        torch.testing.assert_close(loss(student, teacher, nothing), expected)
    with pytest.raises(ValueError, match=r"not \(8, 3\)"):
        loss(student, teacher, torch.zeros(BATCH, 3))
