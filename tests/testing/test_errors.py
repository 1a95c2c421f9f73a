"""A component that raises: the error is shown once, and so is a warning."""

import logging
import warnings

from kdzoo.api import Knowledge
from kdzoo.testing import outcomes
from kdzoo.testing.kit import once_warned


class Broken(Knowledge):
    """Is not finished."""

    name = "broken"
    kind = "response"

    def forward(self, student, teacher, batch):
        raise IndexError("not finished")


def test_an_error_of_many_checks_is_shown_once(subject_of):
    done = list(outcomes(subject_of(Broken), without=["card", "processes"]))
    with_error = [one for one in done if any("not finished" in finding.what for finding in one.findings)]
    assert [one.check.name for one in with_error] == [done[0].check.name]
    others = [one for one in done if one.failed]
    assert len(others) >= 8
    assert {one.state for one in others} == {f"failed as {done[0].check.name} did"}


def test_a_warning_of_many_runs_is_shown_once(recwarn):
    warnings.simplefilter("default")
    for _ in range(3):
        with once_warned():
            warnings.warn("only once", UserWarning, stacklevel=1)
            logging.getLogger("lightning_fabric").info("no note")
    assert [str(one.message) for one in recwarn] == ["only once"]
