import subprocess
import sys
from collections import Counter
from typing import get_type_hints

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

import kdzoo_online
from kdzoo.api import Batch
from kdzoo_online.mutual import Mutual

BATCH = Batch(torch.arange(2), {"image": torch.zeros(2, 3, 2, 2)})


class Roles:
    """As much of a run as enrolling needs."""

    def __init__(self):
        self.roles, self.like, self.frozen = {}, {}, []

    def build(self, role, *, like=None):
        self.like[role] = like
        return nn.Linear(1, 1)

    def enroll(self, role, module, *, learns=True):
        self.roles[role] = module
        if not learns:
            self.frozen.append(role)
        return module


def test_the_plugin_announces_itself_without_torch():
    assert list(kdzoo_online.kdzoo_schemes()) == [
        "mutual",
        "collaborative",
        "branches",
        "group-leader",
    ]
    assert list(kdzoo_online.kdzoo_algorithms()) == ["distill-both"]
    script = "import sys, kdzoo_online; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("peers", [2, 4])
def test_every_peer_is_a_network_of_its_own_that_learns(peers):
    run = Roles()
    Mutual(peers).enroll(run)
    assert list(run.roles) == ["student", "peer1", "peer2", "peer3"][:peers]
    assert len({id(module) for module in run.roles.values()}) == peers
    assert run.frozen == []
    assert run.like == {role: None if role == "student" else "student" for role in run.roles}


@pytest.mark.parametrize("peers", [2, 3, 5])
def test_everybody_teaches_everybody_else_and_each_is_taught_once_in_all(peers):
    scheme, run = Mutual(peers), Roles()
    scheme.enroll(run)
    lessons = list(scheme.lessons(run, BATCH))
    arrows = {(lesson.student, lesson.teacher) for lesson in lessons}
    assert arrows == {(a, b) for a in run.roles for b in run.roles if a != b}
    assert len(lessons) == len(arrows)
    taught = Counter()
    for lesson in lessons:
        taught[lesson.student] += lesson.weight
    assert dict(taught) == pytest.approx(dict.fromkeys(run.roles, 1.0))


@pytest.mark.parametrize("peers", [1, 0, -2, 2.5])
def test_less_than_two_peers_are_refused_by_their_type(peers):
    with pytest.raises(ValidationError):
        TypeAdapter(get_type_hints(Mutual.__init__, include_extras=True)["peers"]).validate_python(peers)
