"""Does an observer take every event?"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from PIL import Image

from kdzoo.api.observer import (
    EpochEnded,
    Event,
    Job,
    Noted,
    PhaseStarted,
    Pictured,
    Preparing,
    RunEnded,
    RunFailed,
    RunStarted,
    RunStopped,
    StepFigures,
    StepsDone,
    Warned,
)
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.frames import blame
from kdzoo.testing.subject import Subject
from kdzoo.zoo.hyperparameters import create


@check(
    "events",
    "observer",
    looks_for="an observer that raises at an event, or when it is closed",
    mend="Ignore events that you do not know; a run drops an observer that raises.",
)
def raises_at_an_event(subject: Subject) -> Iterator[Wrong]:
    """Every event, in a run that ends, one that fails, one that is stopped, and one that is resumed."""
    with tempfile.TemporaryDirectory(prefix="kdzoo-check-") as place:
        for what, events in _runs(Path(place), subject).items():
            observer = create(subject.found, {})
            last = "creation"
            try:
                with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                    for event in events:
                        last = type(event).__name__
                        observer.observe(event)
                    last = "close"
                    observer.close()
            except Exception as error:  # an observer can raise anything
                yield f"{what}: {blame(error)[0]}", f"{blame(error)[1]}, {last}"
                return


def _runs(folder: Path, subject: Subject) -> Mapping[str, tuple[Event, ...]]:
    """The events of four runs in the folder."""
    Image.new("RGB", (8, 8)).save(folder / "picture.png")
    job, recipe = Job("check"), subject.recipe().model_dump(mode="json")
    started = RunStarted(folder, job, recipe)
    epoch = EpochEnded("check", 1, {"train/task": 2.3, "val/accuracy": 10.0, "lr": 0.1, "seconds": 0.5})
    middle = (
        Noted("a note"),
        Preparing("images", 1, 2),
        PhaseStarted("check", 1, 5),
        StepsDone("check", 1, 5),
        StepFigures("check", 1, 5, {"train/task": 2.3, "lr": 0.1}),
        Warned("a warning"),
        Pictured("picture", folder / "picture.png", 1),
        epoch,
    )
    ended = RunEnded(folder, {"test/last": 10.0, "train/seconds": 0.5})
    return {
        "a run": (started, *middle, ended),
        "a run that fails": (started, *middle, RunFailed("an error")),
        "a run that is stopped": (started, RunStopped("SIGTERM")),
        "a resumed run": (RunStarted(folder, job, recipe, resumed=True), *middle, ended),
    }
