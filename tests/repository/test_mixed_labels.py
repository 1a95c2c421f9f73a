"""Every method of the registry with mixup and CutMix: it says in one line that it cannot, or teaches the mixture."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
import torch
from lightning_fabric import Fabric
from torch.nn.functional import one_hot

from kdzoo.api import KdzooError
from kdzoo.data.open import open_data
from kdzoo.engine.components import algorithm_of, knowledge_of, scheme_of
from kdzoo.engine.gallery import Gallery
from kdzoo.engine.listeners import Listener
from kdzoo.engine.networks import Networks
from kdzoo.engine.run import TrainingRun
from kdzoo.registry.load import load_registry
from kdzoo.testing import Subject
from kdzoo.zoo import Zoo

ZOO = Zoo()
REGISTRY = load_registry(ZOO)
STEPS = 2
MIXED = {"data.augment.mixup": 1.0, "data.augment.cutmix": 1.0}

REFUSING = [
    "expert-labels", "crd", "crd-kd", "kdcl", "cs-kd", "ps-kd", "dlb", "tf-kd", "ema", "ca-mkd", "specialists",
    "finetune", "replay", "joint", "lwf", "icarl", "podnet", "der", "mlkd-views", "mlkd-ls",
]  # fmt: skip
"""They read class ids, remember single images or show them in another augmentation."""

OTHERS = [name for name in REGISTRY.methods if name not in REFUSING]


class Looked:
    """A run's data, noting who asks for class ids or single images: neither has to do with a mixture."""

    def __init__(self, data):
        self._data = data
        self.asked = []

    def __getattr__(self, name):
        if name in ("labels", "fetch"):
            self.asked.append(name)
        return getattr(self._data, name)


class Losses(Listener):
    """What was minimised."""

    def __init__(self):
        self.values = []

    def updated(self, run, loss, roles):
        self.values.append(loss.item())


def prepared(method, folder, *listeners, **settings):
    """The method's small run with mixed images, its scheme enrolled, and its algorithm."""
    subject = Subject(ZOO.find("algorithm", REGISTRY.methods[method].algorithm.name), ZOO, REGISTRY, method)
    recipe = subject.recipe(**MIXED, **settings)
    fabric = Fabric(accelerator="cpu", devices=1)
    data = Looked(open_data(recipe.data, seed=0, device=torch.device("cpu")))
    networks = Networks(recipe, data, fabric.device, None)
    scheme, algorithm = scheme_of(recipe, ZOO), algorithm_of(recipe, ZOO)
    gallery = Gallery(folder, lambda event: None, writes=False)
    run = TrainingRun(
        recipe, data, fabric, scheme, knowledge_of(recipe, ZOO), networks, gallery, list(listeners)
    )
    scheme.enroll(run)
    return run, algorithm


def begin(run, phase):
    run.begin_phase(phase.epochs, len(phase.data))
    yield from (run.begin_step(number, batch) for number, batch in enumerate(islice(phase.data, STEPS)))


def skip_without_labels(run):
    if run.recipe.data.withhold_train or run.recipe.data.labels_per_class == 0:
        pytest.skip("no label to mix")


def first_batch(method, folder, settings):
    run, algorithm = prepared(method, folder, **settings)
    next(begin(run, next(iter(algorithm.phases(run)))))


@pytest.mark.parametrize("method", REFUSING)
def test_a_method_that_needs_images_as_they_are_says_so_in_one_line(method, tmp_path):
    (tmp_path / "labels.csv").write_text("name,0\n")
    needed = {"scheme.labels": str(tmp_path / "labels.csv")} if method == "expert-labels" else {}
    with pytest.raises(
        KdzooError, match=r"set data\.augment\.mixup and data\.augment\.cutmix to 0"
    ) as refused:
        first_batch(method, tmp_path, needed)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("method", OTHERS)
def test_all_others_train_on_mixtures_and_ask_for_nothing_else(method, tmp_path):
    run, algorithm = prepared(method, tmp_path)
    skip_without_labels(run)
    for phase in algorithm.phases(run):
        for batch in begin(run, phase):
            assert batch.target is not None
            assert batch.target.is_floating_point()
            run.data.asked.clear()
            phase.step(batch)
            run.end_step()
            assert not run.data.asked, phase.name


@pytest.mark.slow
@pytest.mark.parametrize("method", OTHERS)
def test_where_the_label_counts_the_whole_mixture_does(method, tmp_path):
    """A method that learned the dominating class alone would learn the same from a mixture and from that class."""

    def first(change):
        losses = Losses()
        run, algorithm = prepared(method, tmp_path, losses)
        skip_without_labels(run)
        phase = next(iter(algorithm.phases(run)))
        batch = next(begin(run, phase))
        phase.step(replace(batch, target=change(batch.target)))
        return losses.values

    mixture = first(lambda target: target)
    other = first(lambda target: target.roll(1, dims=1))
    dominating = first(lambda target: one_hot(target.argmax(1), target.shape[1]).float())
    assert (mixture == dominating) <= (mixture == other)
