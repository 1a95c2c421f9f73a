"""The generator, the discriminator, what it is shown, and how a BatchNorm is watched."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from kdzoo.api import Output
from kdzoo_adversarial.batch_norm import has_statistics, watching
from kdzoo_adversarial.critic import Critic
from kdzoo_adversarial.functional import discriminator_loss
from kdzoo_adversarial.generator import Generator
from kdzoo_adversarial.views import Parts, make_views


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (30, 2), (8, 1), (5, 3), (65, 1)])
def test_a_generator_makes_images_of_every_size(size, channels):
    torch.manual_seed(0)
    generator = Generator(latent=6, channels=channels, size=size, width=4)
    images = generator(torch.randn(5, 6))
    assert images.shape == (5, channels, size, size)
    assert 0 < images.min() < images.max() < 1
    assert images.std(0).mean() > 0.01, "other noise, another image"
    (images * torch.randn_like(images)).sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_no_discriminator_is_dead_at_its_start():
    """One whose last layer is followed by a ReLU is, for one seed in four: it answers 0 to the whole batch."""
    student, teacher = (torch.randn(32, 1, 100).softmax(-1) for _ in range(2))
    dead = 0
    for seed in range(100):
        torch.manual_seed(seed)
        critic = Critic(100)
        rows = student.clone().requires_grad_()
        real, fake = critic(teacher), critic(rows)
        loss = discriminator_loss(real, fake)
        loss.backward()
        assert rows.grad.abs().amax((1, 2)).min() > 0, "every sample has a gradient"
        assert all(one.grad.abs().sum() > 0 for one in critic.parameters())
        with torch.no_grad():
            dead += bool((functional.relu(real) == 0).all() and (functional.relu(fake) == 0).all())
    assert dead > 10, "the trap is there on these inputs"


def test_a_discriminator_listens_to_its_condition():
    torch.manual_seed(0)
    critic = Critic(4, condition=3, hidden=8)
    rows = torch.randn(2, 5, 4)
    told = torch.eye(3)[:2]
    scores = critic(rows, told)
    assert scores.shape == (2, 5)
    assert (critic(rows, told.flip(0)) - scores).abs().min() > 1e-4
    torch.testing.assert_close(critic(rows.flip(1), told), scores.flip(1))


def answer(width, side, embedding, seed):
    generator = torch.Generator().manual_seed(seed)
    return Output(
        torch.randn(3, 5, generator=generator),
        (torch.randn(3, width, side, side, generator=generator),),
        torch.randn(3, embedding, generator=generator),
    )


def test_views_show_vectors_of_one_size():
    student, teacher = answer(6, 4, 7, 0), answer(9, 2, 11, 1)
    parts = Parts(logits=True, embedding=True, stages=(-2,))
    assert parts.names == ("logits", "embedding", "stage-2")
    own, others, sizes = make_views(parts, 4.0, student, teacher)
    assert sizes == (5, 11, 9)
    shown, wanted = own(student).features, others(teacher).features
    expected = [(3, 1, 5), (3, 1, 11), (3, 4, 9)]
    assert [tuple(one.shape) for one in shown] == [tuple(one.shape) for one in wanted] == expected
    assert not list(others.parameters())
    # The second row of a map is the position to the right of the first, normalised by itself.
    corner = teacher.features[0][:, :, 0, 1]
    torch.testing.assert_close(wanted[2][:, 1], functional.layer_norm(corner, (9,)))
    torch.stack([(one * torch.randn_like(one)).sum() for one in shown]).sum().backward()
    assert all(one.grad.abs().sum() > 0 for one in own.parameters())


def test_a_view_of_logits_alone_learns_nothing():
    student, teacher = answer(6, 4, 7, 0), answer(9, 2, 11, 1)
    alone = Output(student.logits), Output(teacher.logits)
    own, _, sizes = make_views(Parts(logits=True, embedding=False, stages=()), 4.0, *alone)
    assert sizes == (5,)
    assert not list(own.parameters())
    assert len(own(alone[0]).features) == 1


def test_batch_norm_is_watched_at_its_input():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(12)
    )
    for _ in range(200):
        images = torch.randn(64, 1, 4, 4)
        network(images)
    network.eval()
    fake = (3 * torch.randn(64, 1, 4, 4)).requires_grad_()
    with watching(network) as far:
        network(fake)
    with watching(network) as near:
        network(images)
    assert len(far.means) == len(far.variances) == 2
    maps = network[0](fake)
    torch.testing.assert_close(far.means[0][0], maps.mean((0, 2, 3)))
    torch.testing.assert_close(far.variances[0][0], maps.var((0, 2, 3), correction=0))
    assert far.variances[0][1] is network[1].running_var
    assert near.distance() < far.distance() / 3
    far.distance().backward()
    assert fake.grad.abs().sum() > 0
    assert not any(one._forward_pre_hooks for one in network.modules())


def test_a_network_without_remembered_statistics_has_none():
    assert has_statistics(nn.BatchNorm2d(2))
    assert not has_statistics(nn.Sequential(nn.LayerNorm(3), nn.BatchNorm2d(2, track_running_stats=False)))
