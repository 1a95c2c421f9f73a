"""The conformance kit of kdzoo on this package, and tests of its loss."""

import torch
from kdzoo.testing import examine, subjects

from kdzoo_cosine.cosine import cosine_loss


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_conformance_kit_finds_nothing():
    (subject,) = subjects("cosine")
    assert [str(finding) for finding in examine(subject)] == []


def test_the_loss_is_zero_for_equal_embeddings():
    teacher = normal(0, 6, 8)
    assert cosine_loss(teacher, teacher).abs().max() < 1e-6
    assert (cosine_loss(normal(1, 6, 8), teacher) > 1e-3).all()


def test_the_loss_of_a_sample_does_not_depend_on_the_others():
    student, teacher = normal(1, 6, 8), normal(2, 6, 8)
    loss = cosine_loss(student, teacher)
    assert loss.shape == (6,)
    torch.testing.assert_close(cosine_loss(student[2:], teacher[2:]), loss[2:])


def test_the_loss_depends_on_the_direction_only():
    student, teacher = normal(1, 6, 8), normal(2, 6, 8)
    loss = cosine_loss(student, teacher)
    torch.testing.assert_close(cosine_loss(3 * student, 0.1 * teacher), loss)
    torch.testing.assert_close(cosine_loss(-student, teacher), 2 - loss)
