"""A phase ends when its validation figure no longer rises."""

import pytest

from kdzoo.api import Algorithm, Phase
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.loop import Loop
from kdzoo.errors import KdzooError
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.identity import Identity
from kdzoo.stopping import Stop, Stopped
from kdzoo.zoo import Zoo


class Rising(Algorithm):
    """Records a figure that a test knows."""

    name = "rising"

    def __init__(self, figures):
        self.figures = figures

    def phases(self, run):
        def step(batch):
            loss = run.task("student", batch)
            run.update(loss, "student")
            return {"task": loss}

        coming = iter(self.figures)
        yield Phase("one", run.data.train, step, 9, after_epoch=lambda: {"val/robust": next(coming)})
        yield Phase("two", run.data.train, step, 1)


def epochs(make_run, tmp_path, figures, metric="val/robust", patience=2):
    run = make_run("baseline", **{"early_stopping.patience": patience, "early_stopping.metric": metric})
    loop = Loop(run, CheckpointFile(tmp_path, Identity({})), dict)
    position = loop.train(Rising(figures), None)
    return position.epochs_before - 1


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ([1, 2, 3, 3, 3, 9], 5),
        ([3, 2, 1, 9], 3),
        ([1, 2, 1, 3, 2, 4, 1, 1], 8),
        (range(20), 9),
    ],
)
def test_it_waits_for_a_better_figure(figures, expected, make_run, tmp_path):
    assert epochs(make_run, tmp_path, figures) == expected


def test_a_figure_that_the_epochs_lack_is_refused(make_run, tmp_path):
    with pytest.raises(KdzooError, match=r"unknown figure 'val/robus'.*did you mean val/robust"):
        epochs(make_run, tmp_path, range(9), metric="val/robus")


STOPPING = {
    "early_stopping.patience": 1, "epochs": 12, "optim.lr": 1e-9, "data.train_per_class": 4,
    "data.val_fraction": 0.2, "data.test_per_class": 2,
}  # fmt: skip


def test_a_run_says_where_it_stopped_and_one_that_is_resumed_stops_there_too(small_recipe, tmp_path):
    job, stop = small_recipe("baseline", **STOPPING), Stop()
    whole = train(job, tmp_path / "whole", zoo=Zoo())
    assert whole["epochs"] == whole["epoch/stopped"] < 12, "at such a rate nothing is learnt"
    notes = [
        row["message"] for row in read_journal(tmp_path / "whole" / "metrics.jsonl") if row["event"] == "note"
    ]
    said = (
        f"stopped after epoch {whole['epochs']}: val/accuracy has not risen in 1 validation (early_stopping)"
    )
    assert said in notes
    stop.asked = 15
    with pytest.raises(Stopped):
        train(job, tmp_path / "cut", zoo=Zoo(), stop=stop)
    again = train(job, tmp_path / "cut", zoo=Zoo(), resume=True)
    for key in ("epochs", "epoch/stopped", "test/last", "val/last"):
        assert again[key] == whole[key], key


def test_it_needs_a_validation_split(small_recipe, tmp_path):
    with pytest.raises(KdzooError, match=r"early_stopping\.patience needs a validation split"):
        train(small_recipe("baseline", **{**STOPPING, "data.val_fraction": 0.0}), tmp_path / "run", zoo=Zoo())
    assert not (tmp_path / "run").exists()
