"""An epoch that is over can be recalled, in a run with several phases."""

import torch

from kdzoo.engine.listeners import Listener
from kdzoo.jobs.train import train
from kdzoo.zoo import Zoo

from .runs import small


class Remembers(Listener):
    """The first batch of each epoch; at the end, what the data recall of it."""

    def __init__(self):
        self.first, self.recalled = [], []

    def step_began(self, run, batch, moment):
        if moment.step == 1:
            self.first.append(batch)

    def run_ended(self, run):
        for epoch, batch in enumerate(self.first):
            self.recalled.append(run.data.fetch(batch.index, epoch=epoch))


def test_the_epochs_of_every_phase_are_recalled(tmp_path):
    remembers = Remembers()
    recipe = small(
        "baseline",
        **{
            "algorithm": {"name": "born-again", "generations": 2},
            "data.train_per_class": 2,
            "data.test_per_class": 1,
            "data.augment": {"crop": 2, "rotate": 20},
            "epochs": 2,
        },
    )
    train(recipe, tmp_path / "run", zoo=Zoo(), listeners=[remembers])
    assert len(remembers.first) == 4
    for batch, recalled in zip(remembers.first, remembers.recalled, strict=True):
        assert torch.equal(batch.inputs["image"], recalled.inputs["image"])
