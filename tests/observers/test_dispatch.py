from kdzoo.api import EpochEnded, Event, Observer, Warned
from kdzoo.observers.dispatch import Observers

EPOCH = EpochEnded("distill", 1, {})


class Recorder(Observer):
    def __init__(self, name: str = "recorder") -> None:
        self.name = name  # type: ignore[misc]  # a class variable, but these differ by instance
        self.seen: list[Event] = []
        self.closed = 0

    def observe(self, event: Event) -> None:
        self.seen.append(event)

    def close(self) -> None:
        self.closed += 1


class Breaks(Recorder):
    def __init__(self, name: str = "breaks", *, when: type[Event] = Event) -> None:
        super().__init__(name)
        self.when = when

    def observe(self, event: Event) -> None:
        super().observe(event)
        if isinstance(event, self.when):
            raise ValueError("out of\npaper")

    def close(self) -> None:
        super().close()
        raise OSError("jammed")


def test_one_that_raises_is_reported_once_and_dropped():
    first, broken, last = Recorder(), Breaks(), Recorder()
    told: list[str] = []
    group = Observers([first, broken, last], told.append)
    group.observe(EPOCH)
    group.observe(EPOCH)
    assert broken.seen == [EPOCH]
    (message,) = told
    assert "'breaks'" in message
    assert "ValueError: out of paper" in message
    assert first.seen == [EPOCH, Warned(message), EPOCH]
    assert last.seen == [Warned(message), EPOCH, EPOCH]

    group.close()
    assert [one.closed for one in (first, broken, last)] == [1, 1, 1]
    assert len(told) == 1, "what has been reported is not reported again"


def test_one_that_fails_on_the_report_of_another_is_dropped_too():
    told: list[str] = []
    second = Breaks("second", when=Warned)
    Observers([Breaks("first"), second], told.append).observe(EPOCH)
    assert [message.split("'")[1] for message in told] == ["first", "second"]
    assert second.seen == [Warned(told[0])], "it was dropped before its turn came"


def test_one_that_fails_to_close_is_reported_and_the_others_are_closed():
    told: list[str] = []
    last = Recorder()
    Observers([Breaks(when=Warned), last], told.append).close()
    assert last.closed == 1
    assert last.seen == [Warned(told[0])]
    assert "OSError: jammed" in told[0]
