import subprocess
import sys

import torch

import kdzoo_relation
from kdzoo.api import Batch, Output
from kdzoo_relation.functional import rkd_loss
from kdzoo_relation.rkd import RKD


def output(seed, width):
    draw = torch.Generator().manual_seed(seed)
    return Output(torch.zeros(6, 3), embedding=torch.randn(6, width, generator=draw))


def test_the_plugin_announces_itself_without_torch():
    assert [knowledge.name for knowledge in kdzoo_relation.kdzoo_knowledge()] == ["rkd"]
    script = "import sys, kdzoo_relation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_rkd_is_the_loss_of_the_embeddings_as_a_scalar():
    student, teacher = output(0, 4), output(1, 9)
    batch = Batch(torch.arange(6), {"image": torch.zeros(6, 3, 2, 2)})
    expected = rkd_loss(student.embedding, teacher.embedding, distance_weight=2.0, angle_weight=3.0)
    loss = RKD(distance=2.0, angle=3.0)(student, teacher, batch)
    assert loss.shape == ()
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)


def test_rkd_has_the_papers_weights_and_asks_for_embeddings_only():
    knowledge = RKD()
    assert (knowledge.distance, knowledge.angle) == (25.0, 50.0)
    assert knowledge.taps.embedding
    assert knowledge.taps.student == ()
