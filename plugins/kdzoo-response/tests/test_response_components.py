import subprocess
import sys

import pytest
import torch

import kdzoo_response
from kdzoo.api import Batch, Output
from kdzoo_response.dkd import DKD
from kdzoo_response.functional import dkd_loss, kd_loss
from kdzoo_response.kd import KD

METHODS = ["kd", "dkd", "nkd", "wsld", "dist", "ctkd", "mlkd", "ofa", "hard"]


@pytest.fixture
def pair():
    draw = torch.Generator().manual_seed(0)
    return Output(torch.randn(6, 5, generator=draw)), Output(torch.randn(6, 5, generator=draw))


def batch(target=None, progress=0.5):
    return Batch(torch.arange(6), {"image": torch.zeros(6, 3, 2, 2)}, target, progress)


def test_the_plugin_announces_itself_without_torch():
    assert [knowledge.name for knowledge in kdzoo_response.kdzoo_knowledge()] == METHODS
    assert [scheme.name for scheme in kdzoo_response.kdzoo_schemes()] == ["experts"]
    script = "import sys, kdzoo_response; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_kd_is_the_loss_per_sample(pair):
    loss = KD(temperature=2.0)(*pair, batch())
    expected = kd_loss(pair[0].logits, pair[1].logits, temperature=2.0, reduction="none")
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)


@pytest.mark.parametrize("target", [None, torch.tensor([0, 1, 2, 3, 4, -1]), torch.eye(6, 5)])
def test_dkd_is_the_loss_per_sample_for_every_kind_of_target(pair, target):
    loss = DKD(alpha=2.0, beta=3.0, temperature=1.5)(*pair, batch(target))
    expected = dkd_loss(
        pair[0].logits, pair[1].logits, target, alpha=2.0, beta=3.0, temperature=1.5, reduction="none"
    )
    assert loss.shape == (6,)
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)


def test_dkd_warms_up_over_a_twelfth_of_the_phase(pair):
    def loss(progress, **settings):
        return DKD(**settings)(*pair, batch(torch.arange(6) % 5, progress)).sum().item()

    full = loss(0.9)
    assert loss(0.0) == 0.0
    assert loss(1 / 24) == pytest.approx(full / 2, rel=1e-5)
    assert loss(1 / 12) == full
    assert loss(0.0, warmup=0.0) == full


def test_they_have_nothing_to_train_and_tap_nothing():
    for knowledge in (KD(), DKD()):
        assert not list(knowledge.parameters())
        assert knowledge.taps.student == ()
        assert not knowledge.taps.embedding
