import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kdzoo_response.functional import dkd_loss, kd_loss

BATCH, CLASSES = 8, 10


def normal(seed, *shape, scale=1.0):
    """The catalogue's fixed tensors: numpy's RandomState stream is frozen by NumPy policy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape) * scale)


@pytest.fixture
def student():
    return normal(1, BATCH, CLASSES, scale=2.0).requires_grad_()


@pytest.fixture
def teacher():
    return normal(2, BATCH, CLASSES, scale=3.0)


@pytest.fixture
def target():
    return torch.from_numpy(np.random.RandomState(3).randint(0, CLASSES, BATCH)).long()


def gradient_norm(loss, tensor):
    return torch.autograd.grad(loss, tensor)[0].norm().item()


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def divergence(p, q):
    return sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))


def test_kd_has_the_reference_value(student, teacher):
    loss = kd_loss(student, teacher, temperature=4.0)
    assert loss.item() == pytest.approx(6.32334857739, rel=1e-6)
    assert gradient_norm(loss, student) == pytest.approx(0.408803423, rel=1e-6)


def test_dkd_has_the_reference_value(student, teacher, target):
    loss = dkd_loss(student, teacher, target, alpha=1.0, beta=8.0, temperature=4.0)
    assert loss.item() == pytest.approx(51.4484710599, rel=1e-6)
    assert gradient_norm(loss, student) == pytest.approx(3.42672151, rel=1e-6)


def test_kd_is_its_definition(student, teacher):
    expected = [
        9.0 * divergence(softmax(t / 3), softmax(s / 3))
        for s, t in zip(student.detach().numpy(), teacher.numpy(), strict=True)
    ]
    loss = kd_loss(student, teacher, temperature=3.0, reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-10)


def test_dkd_is_its_definition(student, teacher, target):
    expected = []
    for s, t, true in zip(student.detach().numpy(), teacher.numpy(), target.tolist(), strict=True):
        p, q = softmax(t / 2), softmax(s / 2)
        two = divergence((p[true], 1 - p[true]), (q[true], 1 - q[true]))
        rest = divergence(softmax(np.delete(t, true) / 2), softmax(np.delete(s, true) / 2))
        expected.append(4.0 * (1.5 * two + 2.5 * rest))
    loss = dkd_loss(student, teacher, target, alpha=1.5, beta=2.5, temperature=2.0, reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-9)


def test_kd_is_the_coupled_form_of_dkd(student, teacher, target):
    """The paper's starting point: KD = TCKD + (1 - the teacher's probability of the target) · NCKD."""
    two = dkd_loss(student, teacher, target, alpha=1.0, beta=0.0, reduction="none")
    rest = dkd_loss(student, teacher, target, alpha=0.0, beta=1.0, reduction="none")
    certainty = (teacher / 4.0).softmax(1).gather(1, target[:, None]).squeeze(1)
    torch.testing.assert_close(kd_loss(student, teacher, reduction="none"), two + (1 - certainty) * rest)


def test_gradients_are_right_on_both_sides(student, teacher, target):
    teacher.requires_grad_()
    assert gradcheck(kd_loss, (student, teacher))
    assert gradcheck(lambda s, t: dkd_loss(s, t, target), (student, teacher))


def test_kd_gradient_keeps_its_size_at_any_high_temperature(student, teacher):
    """T² is there for this: the limit is the gradient of matching centred logits, Hinton et al. section 2.1."""
    centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    limit = centred.detach() / (BATCH * CLASSES)
    for temperature, error in ((1e2, 3e-2), (1e3, 3e-3), (1e4, 3e-4)):
        (gradient,) = torch.autograd.grad(kd_loss(student, teacher, temperature=temperature), student)
        assert (gradient - limit).norm() < error * limit.norm()


@pytest.mark.parametrize("loss", [kd_loss, lambda s, t, **kw: dkd_loss(s, t, torch.arange(len(s)), **kw)])
class TestBoth:
    def test_nothing_to_learn_from_an_equal(self, loss, student):
        value = loss(student, student.detach())
        assert abs(value.item()) < 1e-12
        assert gradient_norm(value, student) < 1e-12

    def test_the_mean_is_the_mean_of_the_samples(self, loss, student, teacher):
        samples = loss(student, teacher, reduction="none")
        assert samples.shape == (BATCH,)
        torch.testing.assert_close(samples.mean(), loss(student, teacher))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_is_computed_in_float32(self, loss, dtype, student, teacher):
        half = loss(student.to(dtype), teacher.to(dtype))
        assert half.dtype == torch.float32
        assert half.item() == pytest.approx(loss(student, teacher).item(), rel=0.05)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
    def test_certainty_overflows_nothing(self, loss, dtype, student, teacher):
        logits = (student * 1e3).to(dtype).detach().requires_grad_()
        value = loss(logits, (teacher * 1e3).to(dtype), temperature=1.0)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.isfinite()
        assert gradient.isfinite().all()

    def test_a_wrong_shape_is_refused(self, loss, student, teacher):
        with pytest.raises(ValueError, match=r"\(8, 10\) and \(8, 1\)"):
            loss(student, teacher[:, :1])

    def test_an_unknown_reduction_is_refused(self, loss, student, teacher):
        with pytest.raises(ValueError, match="'sum'"):
            loss(student, teacher, reduction="sum")

    def test_nothing_depends_on_values_on_the_host(self, loss):
        """The meta device has no values to read; a GPU would have to stop and wait for them."""
        logits = torch.empty(BATCH, CLASSES, device="meta")
        with torch.device("meta"):
            assert loss(logits, logits, reduction="none").shape == (BATCH,)


def test_samples_do_not_see_each_other(student, teacher, target):
    order = torch.from_numpy(np.random.RandomState(0).permutation(BATCH))
    torch.testing.assert_close(
        kd_loss(student, teacher, reduction="none")[order],
        kd_loss(student[order], teacher[order], reduction="none"),
    )
    torch.testing.assert_close(
        dkd_loss(student, teacher, target, reduction="none")[order],
        dkd_loss(student[order], teacher[order], target[order], reduction="none"),
    )


def test_dkd_without_labels_takes_the_teachers_class(student, teacher, target):
    predicted = teacher.argmax(1)
    assert (predicted != target).any()
    expected = dkd_loss(student, teacher, predicted)
    torch.testing.assert_close(dkd_loss(student, teacher, None), expected)
    torch.testing.assert_close(dkd_loss(student, teacher, torch.full_like(target, -1)), expected)
    torch.testing.assert_close(dkd_loss(student, teacher, torch.zeros(BATCH, CLASSES)), expected)


def test_dkd_takes_each_samples_own_label_where_it_has_one(student, teacher, target):
    known = torch.arange(BATCH) % 2 == 0
    loss = dkd_loss(student, teacher, target.where(known, -1), reduction="none")
    with_label = dkd_loss(student, teacher, target, reduction="none")
    without = dkd_loss(student, teacher, None, reduction="none")
    torch.testing.assert_close(loss, with_label.where(known, without))


def test_dkd_takes_the_largest_of_soft_labels(student, teacher, target):
    onehot = torch.nn.functional.one_hot(target, CLASSES).double()
    mixed = 0.6 * onehot + 0.4 * onehot.roll(1, 0)
    torch.testing.assert_close(dkd_loss(student, teacher, mixed), dkd_loss(student, teacher, target))


def test_dkd_refuses_a_target_of_another_shape(student, teacher):
    with pytest.raises(ValueError, match="not \\(8, 3\\)"):
        dkd_loss(student, teacher, torch.zeros(BATCH, 3))


def test_dkd_of_two_classes_is_kd(student, teacher, target):
    """With one class left over there is nothing to rank among the rest."""
    two = dkd_loss(student[:, :2], teacher[:, :2], target % 2, beta=8.0, reduction="none")
    torch.testing.assert_close(two, kd_loss(student[:, :2], teacher[:, :2], reduction="none"))
