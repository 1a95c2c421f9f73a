import subprocess
import sys
from typing import get_type_hints

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

import kdzoo_attention
from kdzoo.api import Batch, KdzooError, Output
from kdzoo_attention.at import AT
from kdzoo_attention.functional import attention_loss

BATCH = Batch(torch.arange(4), {"image": torch.zeros(4, 3, 2, 2)})


def output(*shapes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    features = tuple(torch.randn(4, *shape, generator=draw, requires_grad=True) for shape in shapes)
    return Output(torch.zeros(4, 3), features)


def test_the_plugin_announces_itself_without_torch():
    names = list(kdzoo_attention.kdzoo_knowledge())
    assert names == ["at", "afd", "semckd", "catkd", "vit-attention"]
    script = "import sys, kdzoo_attention; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("form", ["paper", "code"])
def test_at_sums_the_loss_over_stages_and_reaches_each(form):
    student = output((4, 8, 8), (8, 4, 4), (8, 2, 2))
    teacher = output((6, 7, 7), (6, 7, 7), (6, 7, 7), seed=1).detach()
    loss = AT(power=3.0, form=form)(student, teacher, BATCH)
    expected = sum(
        attention_loss(ours, theirs, power=3.0, form=form, reduction="none")
        for ours, theirs in zip(student.features, teacher.features, strict=True)
    )
    assert loss.shape == (4,)
    torch.testing.assert_close(loss, expected)
    loss.mean().backward()
    assert all(feature.grad.abs().sum() > 0 for feature in student.features)


def test_the_stages_are_what_the_backbones_are_asked_for():
    assert AT().taps.of("teacher") == (-4, -3, -2)
    taps = AT(stages=(-3, -2), teacher_stages=(-6, -3)).taps
    assert (taps.of("student"), taps.of("teacher")) == ((-3, -2), (-6, -3))


def test_stages_must_pair_up():
    with pytest.raises(KdzooError, match="teacher_stages"):
        AT(teacher_stages=(-2,))


@pytest.mark.parametrize(
    ("name", "value"), [("stages", (1,)), ("stages", ()), ("power", 0.5), ("form", "sum")]
)
def test_bad_hyper_parameters_are_refused_by_their_type(name, value):
    with pytest.raises(ValidationError):
        TypeAdapter(get_type_hints(AT.__init__, include_extras=True)[name]).validate_python(value)
