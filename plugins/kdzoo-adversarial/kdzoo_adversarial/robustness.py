"""Accuracy of a network under attack."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.api import UNLABELLED, Batch, KdzooError, seeded
from kdzoo_adversarial.functional.attack import pgd, start_at
from kdzoo_adversarial.functional.robust import label_ascent

STEPS = 20
"""Steps of the attack in the evaluation: PGD-20."""

Answer = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) in [0, 1] to logits (B, K)."""


def under_pgd(
    answer: Answer, batches: Iterable[Batch], modality: str, epsilon: float, seed: int, steps: int = STEPS
) -> float:
    """Accuracy in percent under PGD on the labels, from a random start, over the labelled samples.

    A pure function: the starts are drawn from its own generator, so that calls can be compared.

    Args:
        answer: the network, in eval mode.
        batches: batches with class ids as labels.
        modality: the input that is attacked.
        epsilon: largest change of a pixel.
        seed: seed of the starts.
        steps: number of steps of the attack, each a quarter of epsilon.

    """
    right = labelled = 0
    generator: torch.Generator | None = None
    for batch in batches:
        image, target = batch.inputs[modality], batch.target
        assert target is not None
        if generator is None:
            generator = torch.Generator(image.device).manual_seed(seed)
        known = target != UNLABELLED
        goal = target.clamp(min=0)
        attacked = pgd(
            lambda images, goal=goal: label_ascent(answer(images), goal),  # type: ignore[misc]  # bound here
            image,
            start_at(image, epsilon, "uniform", generator),
            epsilon=epsilon,
            step_size=epsilon / 4,
            steps=steps,
        )
        with torch.no_grad():
            right += int(((answer(attacked).argmax(dim=1) == target) & known).sum())
        labelled += int(known.sum())
    return 100 * right / max(labelled, 1)


def spread_out(split: Iterable[Batch], most: int) -> list[Batch]:
    """At most ``most`` evenly spaced samples of a split, which may be sorted by class."""
    count = sum(len(batch) for batch in split)
    every = max(math.ceil(count / most), 1)
    taken, before = [], 0
    for batch in split:
        rows = slice(-before % every, None, every)
        before += len(batch)
        if len(batch.index[rows]):
            few = {name: images[rows] for name, images in batch.inputs.items()}
            target = None if batch.target is None else batch.target[rows]
            taken.append(replace(batch, index=batch.index[rows], inputs=few, target=target))
    return taken


def require_autoattack(classes: int) -> None:
    """Refuse AutoAttack before training, if it cannot run.

    Raises:
        KdzooError: the package is not installed, or there are too few classes for its attacks.

    """
    if importlib.util.find_spec("pyautoattack") is None:
        raise KdzooError(
            "algorithm.final_attack 'autoattack' needs the package pyautoattack: pip install "
            "'kdzoo-adversarial[autoattack]', or take final_attack=pgd-20"
        )
    if classes < 4:
        raise KdzooError(
            f"algorithm.final_attack 'autoattack' needs 4 classes for its targeted attack, the data has {classes}: "
            "take final_attack=pgd-20"
        )


def under_autoattack(
    answer: Answer, batches: Iterable[Batch], modality: str, epsilon: float, seed: int
) -> float:
    """Accuracy in percent under AutoAttack's standard version (Croce and Hein 2020), over the labelled samples.

    Args:
        answer: the network, in eval mode.
        batches: batches with class ids as labels.
        modality: the input that is attacked.
        epsilon: largest change of a pixel.
        seed: seed of the attacks.

    """
    library: Any = importlib.import_module("pyautoattack")  # it has no type stubs

    class Network(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return answer(images).float()

    network, right, labelled = Network(), 0, 0
    for batch in batches:
        assert batch.target is not None
        known = batch.target != UNLABELLED
        image, target = batch.inputs[modality][known].contiguous(), batch.target[known]
        if not len(target):
            continue
        with torch.no_grad():
            others = answer(image[:1]).shape[1] - 1
        with seeded(seed):  # the attacks seed torch's global generator
            attack = library.AutoAttack(network, norm="Linf", eps=epsilon, seed=seed, device=image.device)
            attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(9, others)
            attacked, _ = attack.run_standard_evaluation(image, target, batch_size=len(target))
        with torch.no_grad():
            right += int((answer(attacked).argmax(dim=1) == target).sum())
        labelled += len(target)
    return 100 * right / max(labelled, 1)
