"""What is looked for in an observer: one that raises at an event, and one that does not."""

import pytest

from kdzoo.api import EpochEnded, Observer, Pictured, RunFailed, RunStarted, RunStopped


class Right(Observer):
    """Collects the accuracies."""

    name = "right"

    def observe(self, event):
        if isinstance(event, EpochEnded):
            print(event.metrics.get("val/accuracy"))


def test_nothing_is_found_in_a_right_one(found, capsys):
    assert found(Right, "events") == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("event", [EpochEnded, Pictured, RunFailed, RunStarted, RunStopped])
def test_an_observer_that_raises_at_an_event(found, event):
    class Raising(Right):
        name = "raising"

        def observe(self, seen):
            if isinstance(seen, event):
                raise KeyError("train/accuracy")

    (finding,) = found(Raising, "events")
    assert "KeyError: 'train/accuracy'" in finding.what
    assert finding.where.startswith("test_observers.py:")
    assert finding.where.endswith(event.__name__)


def test_an_observer_that_raises_when_it_is_closed(found):
    class Raising(Right):
        name = "raising"

        def close(self):
            raise RuntimeError("already closed")

    (finding,) = found(Raising, "events")
    assert finding.where.endswith(", close")
