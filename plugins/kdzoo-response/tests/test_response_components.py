import inspect
import subprocess
import sys
from typing import get_type_hints

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

import kdzoo_response
from kdzoo.api import Batch, Output
from kdzoo_response.ctkd import CTKD
from kdzoo_response.dist import DIST
from kdzoo_response.dkd import DKD
from kdzoo_response.functional import (
    ctkd_loss,
    dist_loss,
    dkd_loss,
    hard_loss,
    kd_loss,
    mlkd_loss,
    nkd_loss,
    ofa_loss,
    wsld_loss,
)
from kdzoo_response.hard import Hard
from kdzoo_response.kd import KD
from kdzoo_response.mlkd import MLKD
from kdzoo_response.nkd import NKD
from kdzoo_response.ofa import OFA
from kdzoo_response.wsld import WSLD

METHODS = ["kd", "dkd", "nkd", "wsld", "dist", "ctkd", "mlkd", "ofa", "hard"]


@pytest.fixture
def pair():
    draw = torch.Generator().manual_seed(0)
    return Output(torch.randn(6, 5, generator=draw)), Output(torch.randn(6, 5, generator=draw))


def batch(target=None, progress=0.5):
    return Batch(torch.arange(6), {"image": torch.zeros(6, 3, 2, 2)}, target, progress)


def test_the_plugin_announces_itself_without_torch():
    assert list(kdzoo_response.kdzoo_knowledge()) == METHODS
    assert list(kdzoo_response.kdzoo_schemes()) == ["experts"]
    assert list(kdzoo_response.kdzoo_algorithms()) == ["two-views"]
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


def made(knowledge, **settings):
    """A component and the function that it stands for, each with settings that differ from every default."""
    labels = torch.tensor([0, 1, 2, 3, 4, -1])
    return {
        "kd": lambda: (KD(3.0, **settings), lambda s, t: kd_loss(s, t, temperature=3.0, **settings)),
        "dkd": lambda: (
            DKD(2.0, 3.0, 1.5, **settings),
            lambda s, t: dkd_loss(s, t, labels, alpha=2.0, beta=3.0, temperature=1.5, **settings),
        ),
        "nkd": lambda: (
            NKD(2.0, 3.0, **settings),
            lambda s, t: nkd_loss(s, t, labels, gamma=2.0, temperature=3.0, **settings),
        ),
        "wsld": lambda: (
            WSLD(3.0, **settings),
            lambda s, t: wsld_loss(s, t, labels, temperature=3.0, **settings),
        ),
        "dist": lambda: (
            DIST(2.0, 3.0, 4.0, **settings),
            lambda s, t: dist_loss(s, t, beta=2.0, gamma=3.0, temperature=4.0, **settings),
        ),
        "ctkd": lambda: (
            CTKD(2.0, 8.0, 0.0, **settings),
            lambda s, t: kd_loss(s, t, temperature=6.0, **settings),
        ),
        "mlkd": lambda: (
            MLKD(2.0, 3.0, 4.0, (1.0, 5.0), True, **settings),
            lambda s, t: mlkd_loss(
                s, t, instance=2.0, batch=3.0, classes=4.0, temperatures=(1.0, 5.0), masked=True, **settings
            ),
        ),
        "hard": lambda: (Hard(), hard_loss),
        "ofa": lambda: (
            OFA((), 1.5, "code"),
            lambda s, t: ofa_loss(s, t, labels, gamma=1.5, form="code"),
        ),
    }[knowledge]()


@pytest.mark.parametrize("settings", [{}, {"standardize": True}], ids=["plain", "standardised"])
@pytest.mark.parametrize("name", METHODS)
def test_each_is_its_loss(pair, name, settings):
    component, loss = made(name, **({} if name in ("hard", "ofa") else settings))
    value = component(*pair, batch(torch.tensor([0, 1, 2, 3, 4, -1]), progress=0.9))
    assert component.name == name
    assert value.shape == (() if name in ("dist", "mlkd") else (6,))
    torch.testing.assert_close(value.mean(), loss(pair[0].logits, pair[1].logits))


def test_only_ctkd_has_something_to_train_and_none_of_these_taps_a_stage():
    for knowledge in (KD(), DKD(), NKD(), WSLD(), DIST(), CTKD(), MLKD(), Hard()):
        assert [name for name, _ in knowledge.named_parameters()] == ["theta"] * (knowledge.name == "ctkd")
        assert knowledge.taps.student == ()
        assert not knowledge.taps.embedding


def test_the_temperature_of_ctkd_rises_against_the_student(pair):
    """The reversed gradient grows from zero to full over the curriculum; the student's own is never reversed."""

    def gradients(progress, **settings):
        student = Output(pair[0].logits.clone().requires_grad_())
        knowledge = CTKD(curriculum=0.5, **settings)
        loss = knowledge(student, pair[1], batch(progress=progress)).mean()
        return torch.autograd.grad(loss, (knowledge.theta, student.logits))

    theta = torch.tensor(1.0, requires_grad=True)
    plain = kd_loss(pair[0].logits, pair[1].logits, temperature=15.6212)
    (uphill,) = torch.autograd.grad(
        ctkd_loss(pair[0].logits, pair[1].logits, 1 + 20 * theta.sigmoid()), theta
    )
    full, student = gradients(0.5)
    torch.testing.assert_close(full, -uphill)
    torch.testing.assert_close(gradients(0.25)[0], -uphill / 2)
    torch.testing.assert_close(gradients(0.5, strength=0.2)[0], -uphill / 5)
    assert gradients(0.0)[0] == 0
    torch.testing.assert_close(gradients(0.0)[1], student)
    torch.testing.assert_close(CTKD()(*pair, batch()).mean(), plain)


class TestOfa:
    """The exits of the student's stages."""

    @staticmethod
    def output(*shapes, count=4):
        draw = torch.Generator().manual_seed(0)
        features = tuple(torch.randn(count, *shape, generator=draw, requires_grad=True) for shape in shapes)
        return Output(torch.randn(count, 5, generator=draw, requires_grad=True), features)

    @pytest.mark.parametrize("count", [1, 4])
    def test_every_exit_and_every_stage_learns(self, count):
        student = self.output((8, 7, 7), (8, 3, 2), (12, 1, 1), count=count)
        knowledge = OFA((-3, -2, -1))
        assert (knowledge.taps.of("student"), knowledge.taps.of("teacher")) == ((-3, -2, -1), ())
        teacher = Output(torch.randn(count, 5, generator=torch.Generator().manual_seed(1)))
        knowledge.build(student, teacher, None)
        loss = knowledge(student, teacher, Batch(torch.arange(count), {}))
        assert loss.shape == (count,)
        loss.mean().backward()
        assert len(knowledge.exits) == 3
        parameters = dict(knowledge.named_parameters())
        assert all(one.grad is not None for one in parameters.values())
        blind = [name for name, one in parameters.items() if one.grad.abs().sum() == 0]
        assert blind == []
        assert all(one.grad.abs().sum() > 0 for one in (*student.features, student.logits))

    def test_the_exits_count_by_their_weight(self):
        student, teacher = self.output((8, 4, 4)), Output(torch.eye(4, 5))
        lone, some, more = (OFA((-1,), exits=exits) for exits in (0.0, 0.5, 1.0))
        for knowledge in (lone, some, more):
            torch.manual_seed(0)
            knowledge.build(student, teacher, None)
        a, b, c = (one(student, teacher, Batch(torch.arange(4), {})) for one in (lone, some, more))
        torch.testing.assert_close(a, ofa_loss(student.logits, teacher.logits, None, reduction="none"))
        torch.testing.assert_close(b - a, (c - a) / 2)
        leaves = more.exits[0](student.features[0])
        torch.testing.assert_close(c - a, ofa_loss(leaves, teacher.logits, None, reduction="none"))


@pytest.mark.parametrize(
    ("component", "name", "value"),
    [
        (NKD, "gamma", -1.0),
        (WSLD, "temperature", 0.0),
        (DIST, "temperature", 0.0),
        (MLKD, "temperatures", ()),
        (MLKD, "temperatures", (0.0,)),
        (CTKD, "lowest", 0.0),
        (CTKD, "curriculum", 1.5),
        (OFA, "gamma", 0.5),
        (OFA, "stages", (-1, -2)),
    ],
)
def test_bad_values_are_refused_by_their_type(component, name, value):
    kind = TypeAdapter(get_type_hints(component.__init__, include_extras=True)[name])
    with pytest.raises(ValidationError):
        kind.validate_python(value)
    default = inspect.signature(component.__init__).parameters[name].default
    assert kind.validate_python(default) == default
