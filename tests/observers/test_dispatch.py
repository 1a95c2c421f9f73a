from kdzoo.api import EpochEnded, Event, Observer, StepFigures, Warned
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


def test_figures_of_steps_reach_those_alone_that_ask():
    def asking(every: int | None) -> Recorder:
        made = Recorder(str(every))
        made.figures_every = every
        return made

    never, second, third = asking(None), asking(2), asking(3)
    told: list[str] = []
    group = Observers([never, second, third], told.append)
    steps = {number: StepFigures("distill", 1, number, {}) for number in range(1, 7)}
    assert [number for number in steps if group.wants_figures(number)] == [2, 3, 4, 6]
    for event in steps.values():
        group.observe(event)
    assert never.seen == []
    assert second.seen == [steps[2], steps[4], steps[6]]
    assert third.seen == [steps[3], steps[6]]
    assert not Observers([never], told.append).wants_figures(6)


def test_nobody_waits_for_figures_of_one_that_was_dropped():
    broken = Breaks()
    broken.figures_every = 1
    told: list[str] = []
    group = Observers([broken], told.append)
    assert group.wants_figures(1)
    group.observe(EPOCH)
    assert not group.wants_figures(2)
