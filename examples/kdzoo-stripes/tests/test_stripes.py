"""The conformance kit of kdzoo over this package, and what is particular to its parts."""

import numpy as np
import pytest
import timm
import torch
from kdzoo.testing import examine, subjects

import kdzoo_stripes.networks  # noqa: F401  # registers the network
from kdzoo_stripes.data import Stripes
from kdzoo_stripes.losses import LogitDistance, logit_distance


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", ["logit-distance", "map-distance", "logit-and-map-distance"])
def test_the_conformance_kit_finds_nothing(name):
    found = subjects(name)
    assert found
    assert [str(finding) for subject in found for finding in examine(subject)] == []


def test_what_a_softmax_does_not_see_has_no_loss():
    teacher = normal(0, 6, 8)
    assert logit_distance(teacher + 3, teacher).max() < 1e-12
    assert torch.allclose(logit_distance(teacher + 3, teacher, centred=False), torch.tensor(36.0).double())


def test_the_knowledge_is_the_function():
    from kdzoo.api import Batch, Output

    student, teacher = normal(1, 6, 8), normal(2, 6, 8)
    loss = LogitDistance(centred=False)(Output(student), Output(teacher), Batch(torch.arange(6), {}))
    assert torch.equal(loss, logit_distance(student, teacher, centred=False))


def test_the_data_are_the_same_each_time_and_differ_between_splits():
    one, other = (Stripes(angles=3, side=16, train=4, test=2) for _ in range(2))
    assert one.classes == ["0 degrees", "60 degrees", "120 degrees"]
    assert one.split("val") is None
    assert np.array_equal(one.split("train").images, other.split("train").images)
    assert one.split("train").images.shape == (12, 16, 16)
    assert not np.array_equal(one.split("train").images[:6], one.split("test").images)


def test_stripes_run_along_their_angle():
    across, along = Stripes(angles=2, noise=0, train=1).split("train").images.astype(float)
    assert across.std(axis=0).max() == 0  # at 0 degrees all rows are alike
    assert along.std(axis=1).max() == 0


def test_the_network_is_timm_s():
    network = timm.create_model("stripes_net", num_classes=5, in_chans=1)
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 5)
    assert sum(one.numel() for one in network.parameters()) < 60_000
