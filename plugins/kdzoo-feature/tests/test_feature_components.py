import subprocess
import sys
from typing import get_type_hints

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

import kdzoo_feature
from kdzoo.api import Batch, KdzooError, Output
from kdzoo_feature.fitnet import FitNet
from kdzoo_feature.functional import hint_loss

BATCH = Batch(torch.arange(4), {"image": torch.zeros(4, 3, 2, 2)})


def output(*shapes, seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    features = tuple(torch.randn(4, *shape, generator=draw).to(dtype).requires_grad_() for shape in shapes)
    return Output(torch.zeros(4, 3), features)


def built(student, teacher, **settings):
    knowledge = FitNet(**settings)
    knowledge.build(student, teacher, None)
    return knowledge


def test_the_plugin_announces_itself_without_torch():
    names = set(kdzoo_feature.kdzoo_knowledge())
    assert names == {"ab", "fitnet", "ft", "mgd", "nst", "ofd", "reviewkd", "simkd", "srrl", "vid"}
    assert "factor-transfer" in set(kdzoo_feature.kdzoo_algorithms())
    script = "import sys, kdzoo_feature; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([(8, 4, 4)], [(8, 4, 4)]),
        ([(8, 4, 4)], [(12, 2, 2)]),
        ([(8, 2, 2), (16, 1, 1)], [(24, 5, 5), (24, 5, 5)]),  # a transformer teaches two stages of a convnet
    ],
)
def test_every_regressor_and_every_stage_learns(ours, theirs):
    student, teacher = output(*ours), output(*theirs, seed=1)
    knowledge = built(student, teacher, stages=tuple(range(-len(ours), 0)))
    loss = knowledge(student, teacher.detach(), BATCH)
    assert loss.shape == (4,)
    loss.mean().backward()
    parameters = list(knowledge.parameters())
    assert len(parameters) == 2 * len(ours)
    assert all(parameter.grad.abs().sum() > 0 for parameter in parameters)
    assert all(feature.grad.abs().sum() > 0 for feature in student.features)


def test_the_loss_is_the_hint_loss_behind_the_regressor_summed_over_stages():
    student, teacher = output((5, 4, 4), (5, 2, 2)), output((5, 4, 4), (5, 2, 2), seed=1)
    knowledge = built(student, teacher, stages=(-2, -1))
    with torch.no_grad():
        for regressor in knowledge.regressors:
            torch.nn.init.dirac_(regressor.weight)
            regressor.bias.zero_()
    expected = sum(
        hint_loss(ours, theirs, reduction="none")
        for ours, theirs in zip(student.features, teacher.features, strict=True)
    )
    torch.testing.assert_close(knowledge(student, teacher, BATCH), expected)


def test_a_linear_relation_is_learned_by_the_regressor_alone():
    """The paper's point in small: what the student knows linearly, it need not imitate."""
    student = output((6, 3, 3)).detach()
    mix = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
    teacher = Output(student.logits, (torch.einsum("oc,bchw->bohw", mix, student.features[0]),))
    torch.manual_seed(0)
    knowledge = built(student, teacher)
    before = knowledge(student, teacher, BATCH).mean().item()
    optimizer = torch.optim.LBFGS(knowledge.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = knowledge(student, teacher, BATCH).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert knowledge(student, teacher, BATCH).mean().item() < 1e-4 * before


def test_half_precision_features_meet_float32_regressors():
    student, teacher = (
        output((8, 4, 4), dtype=torch.bfloat16),
        output((6, 4, 4), seed=1, dtype=torch.bfloat16),
    )
    knowledge = built(student, teacher)
    assert knowledge.regressors[0].weight.dtype == torch.float32
    loss = knowledge(student, teacher, BATCH)
    assert loss.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert knowledge(student, teacher, BATCH).dtype == torch.float32


def test_the_stages_are_what_the_backbones_are_asked_for():
    assert FitNet().taps.of("student") == (-2,)
    taps = FitNet(stages=(-3, -2), teacher_stages=(-4, -1)).taps
    assert (taps.of("student"), taps.of("teacher")) == ((-3, -2), (-4, -1))


def test_stages_must_pair_up():
    with pytest.raises(KdzooError, match="teacher_stages"):
        FitNet(stages=(-3, -2), teacher_stages=(-1,))


@pytest.mark.parametrize("stages", [(), (1,), (-2, -3), (-2, -2), ("conv1",)])
def test_bad_stages_are_refused_by_their_type(stages):
    with pytest.raises(ValidationError):
        TypeAdapter(get_type_hints(FitNet.__init__, include_extras=True)["stages"]).validate_python(stages)
