"""Two processes: a component that lets them part, one that fails, one that is right. Found through its metadata."""

import sys

import pytest

from kdzoo.registry.load import load_registry
from kdzoo.testing import examine, subjects_of
from kdzoo.zoo import Zoo

pytestmark = pytest.mark.slow  # six processes that import everything

MODULE = '''
import torch

from kdzoo.api import Knowledge, hookimpl


class Squares(Knowledge):
    """The squared distance of the logits."""

    name = "squares"
    kind = "response"

    def forward(self, student, teacher, batch):
        return (student.logits - teacher.logits).square().mean(1)


class Parting(Squares):
    """What it keeps follows torch's own generator, which is another one in each process."""

    name = "parting"

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, student, teacher, batch):
        self.scale += torch.rand(())
        return super().forward(student, teacher, batch) * self.scale


class Alone(Squares):
    """It takes itself for the only process."""

    name = "alone"

    def forward(self, student, teacher, batch):
        if torch.distributed.get_rank() == 1:
            raise RuntimeError("one process is enough")
        return super().forward(student, teacher, batch)


@hookimpl
def kdzoo_knowledge():
    return [Squares, Parting, Alone]
'''


@pytest.fixture
def checked(tmp_path, monkeypatch):
    (tmp_path / "kdzoo_twofold.py").write_text(MODULE)
    info = tmp_path / "kdzoo_twofold-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kdzoo-twofold\nVersion: 1.2.3\n")
    (info / "entry_points.txt").write_text("[kdzoo]\ntwofold = kdzoo_twofold\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def call(name):
        zoo = Zoo()
        (subject,) = subjects_of(zoo, load_registry(zoo), name)
        return list(examine(subject, only=["processes"]))

    yield call
    sys.modules.pop("kdzoo_twofold", None)


def test_two_processes_that_agree(checked):
    assert [str(one) for one in checked("squares")] == []


def test_a_buffer_that_is_another_in_each_process(checked):
    (finding,) = checked("parting")
    assert "different weights or buffers" in finding.what
    assert finding.where == "role knowledge/student<-teacher"


def test_a_process_that_fails(checked):
    (finding,) = checked("alone")
    assert finding.what == "RuntimeError: one process is enough"
    assert "process 1, kdzoo_twofold.py:" in finding.where


def test_two_processes_serve_several_components_until_one_fails(checked):
    from kdzoo.testing.checks.processes import _PAIR

    assert checked("squares") == []
    first = [child.pid for child in _PAIR.children]
    assert checked("squares") == []
    assert [child.pid for child in _PAIR.children] == first
    checked("alone")
    assert _PAIR.children == []
    assert checked("squares") == []
