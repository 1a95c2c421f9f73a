"""What is looked for in docstring, registry and README."""

import pytest
from torch import nn

from kdzoo.api import Knowledge, LossKnowledge
from kdzoo.registry.model import Method


class Written(Knowledge):
    """Half the squared distance of the logits.

    Args:
        weight: of the distance.
    """

    name = "written"
    kind = "response"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, student, teacher, batch):
        return self.weight * (student.logits - teacher.logits).square().mean(1)


PAPER = {"title": "On distances", "authors": "Nobody", "venue": "Nowhere", "year": 2020}


def method(**changes: object) -> Method:
    entry = {
        "title": "Distances",
        "category": "response",
        "package": "kdzoo-made",
        "knowledge": {"name": "written"},
        "paper": PAPER,
    }
    return Method.model_validate({**entry, **changes})


README = "# kdzoo-made\n\n## written: distances\n\nWhat it does.\n"


def test_nothing_is_missing(found, described):
    described(README)
    assert found(Written, "card", method=method()) == []


def missing(findings, what, where):
    assert [(one.what, one.where) for one in findings] == [(what, where)]


def test_no_docstring(found, described):
    described(README)

    class Silent(Written):
        __doc__ = None

    findings = found(Silent, "card", method=method())
    assert {one.what for one in findings} == {"no docstring"}, "the meanings are those of its parent"


def test_no_paper(found, described):
    described(README)
    missing(found(Written, "card", method=method(paper=None)), "no paper", "method written in the registry")


def test_no_section(found, described):
    described("# kdzoo-made\n\n## rewritten: another one\n")
    missing(
        found(Written, "card", method=method()),
        "no section of the README is about it",
        "README of kdzoo-made",
    )


def test_no_method(found, described):
    described(README)
    missing(
        found(Written, "card"),
        "no method of the registry uses it, so kdzoo list does not show it",
        "registry",
    )


@pytest.mark.parametrize("given", [{}, {"weight": 2.0}])
def test_no_default(found, described, given):
    described(README)

    class Demanding(Written):
        """Half the squared distance of the logits.

        Args:
            weight: of the distance.
        """

        def __init__(self, weight: float) -> None:
            super().__init__(weight)

    findings = found(Demanding, "card", method=method(knowledge={"name": "written", **given}))
    if given:
        assert findings == []
    else:
        missing(findings, "no default, here or in the registry", "hyper-parameter weight")


TABLE = """
| name | type | range | default | meaning |
|---|---|---|---|---|
| `{}` | float | | 1.0 | of the distance |
"""


@pytest.mark.parametrize("name", ["weight", "knowledge.weight", "algorithm.task_weight"])
def test_a_card_with_the_hyper_parameters(found, described, name):
    described(README + TABLE.format(name))
    assert found(Written, "card", method=method()) == []


def test_a_card_that_describes_the_parameter_of_the_scaffold(found, described):
    described(README + TABLE.format("scale"))
    missing(
        found(Written, "card", method=method()),
        "its section describes 'scale', which is no hyper-parameter",
        "README of kdzoo-made",
    )


def test_the_inherited_arguments_of_another_librarys_loss(found, described):
    described(README.replace("written", "borrowed"))

    class Loss(nn.Module):
        """A loss.

        Args:
            beta (float): of the distance.
        """

        def __init__(self, beta: float = 1.0):
            super().__init__()
            self.beta = beta

        def forward(self, student, teacher):
            return self.beta * (student - teacher).square().mean(1)

    class Narrower(Loss):
        """A narrower loss with the same arguments."""

    class Borrowed(LossKnowledge):
        """A loss of another library."""

        name = "borrowed"
        kind = "response"
        loss = Narrower

    assert found(Borrowed, "card", method=method(knowledge={"name": "borrowed"})) == []
