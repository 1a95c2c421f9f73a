"""Metrics of plugins: a figure of every run, on the whole test split; one that fails costs only itself."""

from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.layers import Layer
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

PLUGIN = '''
from kdzoo.api import Metric, WrappedMetric, hookimpl


class Accuracy(Metric):
    """The accuracy once more."""

    name = "again"

    def begin(self, classes):
        assert len(classes) == 10
        self.right = self.count = 0

    def update(self, logits, target):
        self.right += int((logits.argmax(1) == target).sum())
        self.count += len(target)

    def compute(self):
        return 100 * self.right / self.count


class Counter:
    """As a metric of another library."""

    def __init__(self, classes):
        self.count = 0

    def update(self, logits, target):
        assert logits.shape == (len(target), 10)
        self.count += len(target)

    def compute(self):
        import torch

        return torch.tensor(self.count)


class Wrapped(WrappedMetric):
    """Counts."""

    name = "samples"

    def make(self, classes):
        return Counter(classes)


class Failing(Metric):
    """Fails."""

    name = "failing"

    def update(self, logits, target):
        raise ZeroDivisionError("no samples")

    def compute(self):
        return 0.0


@hookimpl
def kdzoo_metrics():
    return [Accuracy, Wrapped, Failing]
'''

SMALL = {
    "data": {
        "dataset": "digits",
        "train_per_class": 2,
        "test_per_class": 3,
        "batch_size": 8,
        "val_fraction": 0.0,
    },
    "roles": {"student": {"model": "test_efficientnet"}},
    "epochs": 1,
    "observers": [],
}


def test_every_run_has_the_figures_of_installed_metrics(install, tmp_path):
    install("kdzoo-metered", PLUGIN)
    zoo = Zoo()
    recipe = resolve(zoo=zoo, registry=load_registry(zoo), method="baseline", layers=[Layer("test", SMALL)])
    result = train(recipe, tmp_path / "run", zoo=zoo)
    assert result["test/again"] == result["test/last"]
    assert result["test/samples"] == 30
    assert "test/failing" not in result
    (warning,) = [
        row["message"]
        for row in read_journal(tmp_path / "run" / "metrics.jsonl")
        if row["event"] == "warning"
    ]
    assert warning == "the metric 'failing' has no figure: ZeroDivisionError: no samples"
