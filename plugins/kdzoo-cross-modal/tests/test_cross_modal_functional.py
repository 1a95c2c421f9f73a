import pytest
import torch

from kdzoo_cross_modal.functional import transfer_loss


def features(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_by_hand():
    student = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    teacher = torch.tensor([[0.0, 4.0], [3.0, 0.0]])
    assert transfer_loss(student, teacher, reduction="none").tolist() == [2.5, 4.5]
    assert transfer_loss(student, teacher).item() == 3.5


def test_maps_are_averaged_over_channels_and_places():
    student, teacher = features(3, 2, 4, 5), features(3, 2, 4, 5, seed=1)
    expected = [((a - b) ** 2).sum() / 40 for a, b in zip(student, teacher, strict=True)]
    torch.testing.assert_close(transfer_loss(student, teacher, reduction="none"), torch.stack(expected))


def test_gradient():
    student = features(3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda one: transfer_loss(one, features(3, 4, seed=1)), [student])


def test_nothing_is_to_be_learned_from_an_equal():
    assert transfer_loss(features(3, 4), features(3, 4)).item() == 0


def test_only_pairs_count():
    student, teacher, order = features(5, 4), features(5, 4, seed=1), torch.tensor([4, 2, 0, 1, 3])
    losses = transfer_loss(student, teacher, reduction="none")
    torch.testing.assert_close(transfer_loss(student[order], teacher[order], reduction="none"), losses[order])
    assert not torch.allclose(transfer_loss(student[order], teacher), losses.mean())


def test_half_precision_is_computed_in_float32():
    student, teacher = (features(3, 64, seed=seed, dtype=torch.bfloat16) * 200 for seed in range(2))
    loss = transfer_loss(student, teacher)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, transfer_loss(student.float(), teacher.float()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("student", "teacher", "reduction", "message"),
    [
        ((3, 4), (3, 5), "mean", "one shape"),
        ((3,), (3,), "mean", "one shape"),
        ((3, 4), (3, 4), "sum", "not 'sum'"),
    ],
)
def test_bad_arguments_are_refused(student, teacher, reduction, message):
    with pytest.raises(ValueError, match=message):
        transfer_loss(features(*student), features(*teacher), reduction=reduction)
