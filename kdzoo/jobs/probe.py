"""Whether a network's features help: nearest neighbours, a linear classifier and few labels, on labelled data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.api.batch import UNLABELLED, Batch
from kdzoo.data.dataset import DataSet
from kdzoo.engine.networks import Networks
from kdzoo.engine.probe import NEIGHBOURS, linear, neighbours, share_right
from kdzoo.engine.run import TrainingRun
from kdzoo.errors import KdzooError
from kdzoo.jobs.resources import Resources
from kdzoo.recipe.model import Recipe

DRAWS = 3
"""Draws of few labelled images whose figures are averaged."""


def network_of(given: str, weights: str | None) -> dict[str, Any]:
    """The recipe's keys of a network: a timm model, or the folder of a run or of an exported student.

    Raises:
        KdzooError: a folder without a student.
    """
    folder = Path(given.removeprefix("local-dir:")).expanduser()
    for place in (folder / "student", folder):
        if (place / "config.json").is_file():
            model = f"local-dir:{place.absolute()}"
            return {"model": model, "weights": weights or model, "head": False}
    if folder.is_dir():
        raise KdzooError(f"{folder}: neither a finished run nor an exported student (no config.json)")
    return {"model": given, "weights": weights, "head": False}


def probe(
    recipe: Recipe,
    resources: Resources,
    *,
    k: int = NEIGHBOURS,
    shots: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """The figures of a recipe's student, in percent of the test split.

    Args:
        recipe: names the data and the network, which is used without a classifier.
        resources: the shared resources.
        k: number of neighbours.
        shots: numbers of labelled training images per class.

    Returns:
        ``knn``, ``linear``, and ``shots/N`` for each of ``shots`` that the data have: a linear classifier on N images
        of each class, a mean over draws.

    Raises:
        KdzooError: the data have no labels, are streamed, or the network cannot be built.
    """
    data = resources.open(recipe)
    networks = Networks(recipe, data, resources.fabric.device, lambda role, config: None, resources.zoo)
    network, modality = networks.build("student", num_classes=0).eval(), recipe.roles["student"].modality
    bank, labels = features(network, _training(data, recipe.data.batch_size), modality)
    queries, truth = features(network, data.test, modality)
    if not (len(labels) and len(truth)):
        raise KdzooError("a probe needs labelled images in train/ and test/, and one of them has none")
    return {
        "knn": share_right(neighbours(queries, bank, labels, k=k), truth),
        "linear": share_right(linear(queries, bank, labels), truth),
        **_few(queries, truth, bank, labels, shots, recipe.seed),
    }


def by_neighbours(run: TrainingRun) -> dict[str, float]:
    """``val/knn`` and ``test/knn`` of a student without a classifier: each image by its neighbours in its split.

    No training image's label is read. A split with fewer than two labelled images has no figure.
    """
    student = run.members["student"]
    found = {}
    for split, batches in (("val", run.data.val), ("test", run.data.test)):
        if batches is None:
            continue
        with run.measuring():
            vectors, labels = features(student.module, batches, student.modality)
        if run.fabric.world_size > 1:
            parts: list[Any] = [None] * run.fabric.world_size
            torch.distributed.all_gather_object(parts, (vectors.cpu(), labels.cpu()))
            vectors, labels = (torch.cat(one) for one in zip(*parts, strict=True))
        if len(labels) > 1:
            found[f"{split}/knn"] = share_right(neighbours(vectors, vectors, labels, themselves=True), labels)
    return found


@torch.no_grad()
def features(network: nn.Module, batches: Iterable[Batch], modality: str) -> tuple[Tensor, Tensor]:
    """The embeddings (N, D) and class ids (N,) of the labelled samples."""
    vectors, labels = [], []
    for batch in batches:
        if batch.target is not None:
            labelled = batch.target != UNLABELLED
            vectors.append(network(batch.inputs[modality], embedding=True).embedded[labelled].float())
            labels.append(batch.target[labelled])
    if not labels:
        return torch.empty(0, 0), torch.empty(0, dtype=torch.int64)
    return torch.cat(vectors), torch.cat(labels)


def _training(data: DataSet, size: int) -> Iterable[Batch]:
    """The labelled training images without augmentation."""
    rows = (data.labels != UNLABELLED).nonzero().flatten()
    return (data.fetch(rows[start : start + size], view=None) for start in range(0, len(rows), size))


def _few(
    queries: Tensor, truth: Tensor, bank: Tensor, labels: Tensor, shots: Sequence[int], seed: int
) -> Mapping[str, float]:
    counts = labels.bincount()
    fewest = int(counts[counts > 0].min())
    figures: dict[str, Any] = {}
    for number in shots:
        if number > fewest:
            continue
        right = []
        for draw in range(DRAWS):
            rows = _drawn(labels, number, seed + draw)
            right.append(share_right(linear(queries, bank[rows], labels[rows]), truth))
        figures[f"shots/{number}"] = sum(right) / len(right)
    return figures


def _drawn(labels: Tensor, number: int, seed: int) -> Tensor:
    """``number`` rows of each class, at random."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    return torch.cat([order[labels[order] == one][:number] for one in labels.bincount().nonzero().flatten()])
