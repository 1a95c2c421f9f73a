"""Proteus: tokens, patches, and patches that the student does not see; Zhang et al. 2025."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import Algorithm, Backbone, Batch, KdzooError, Output, Phase, Run, seeded
from kdzoo_foundation.features import Momentum
from kdzoo_foundation.functional.features import resized
from kdzoo_foundation.functional.masked import masked_loss, random_patches
from kdzoo_foundation.head import Head, Terms
from kdzoo_foundation.standardise import Running


class Proteus(Algorithm):
    """The student predicts the teacher's summary, its patch tokens, and those of patches hidden from the student.

    The masked term needs a student that reads an image patch by patch, a transformer; for any other it is left out.

    Args:
        token: weight of the summary's term.
        patch: weight of the patch tokens' term.
        masked: weight of the term of hidden patches.
        ratio: probability that a patch is hidden.
        projector: ``linear``, or ``mlp`` with one hidden layer of the teacher's width.
        standardise: give each channel of the teacher's features mean 0 and deviation 1, by running averages.
        momentum: weight of the newest batch in these averages.
    """

    name = "proteus"
    needs_loop = ""
    exempt: ClassVar = {
        "hyper-parameter:momentum": "the first 1 / momentum batches are averaged with equal weights"
    }
    reads_teacher = True
    reads_logits = False
    needs_labels = False

    def __init__(
        self,
        token: NonNegativeFloat = 1.0,
        patch: NonNegativeFloat = 1.0,
        masked: NonNegativeFloat = 1.0,
        ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        projector: Literal["linear", "mlp"] = "linear",
        standardise: bool = True,
        momentum: Momentum = 0.01,
    ) -> None:
        self.masked = masked
        self.ratio = ratio
        self.standardise = standardise
        self.momentum = momentum
        self.seen = Terms(token, patch, "mse", "mse", projector=projector)
        self.hidden = Terms(0.0, 1.0, "mse", "mse", projector=projector)

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        if "teacher" not in run.roles:
            raise KdzooError("algorithm 'proteus' needs a teacher: pass --teacher MODEL")
        for role in ("student", "teacher"):
            run.tap(role, 0, embedding=True)
        run.enroll("heads", self._heads(run), student=False)

        def step(batch: Batch) -> Mapping[str, Tensor]:
            theirs = _seen(run, "teacher", batch).detach()
            ours = _seen(run, "student", batch)
            heads = run.roles["heads"]
            assert isinstance(heads, nn.ModuleDict)
            loss = heads["seen"](ours, theirs).mean()
            recorded = {"seen": loss.detach()}
            if "hidden" in heads:
                recorded["hidden"] = hidden = self._hidden(run, batch, heads["hidden"], ours, theirs)
                loss = loss + self.masked * hidden
            run.update(loss, "student", "heads")
            return {"teach": loss, **recorded}

        yield Phase("proteus", run.data.train, step, run.recipe.epochs)

    def _hidden(self, run: Run, batch: Batch, head: nn.Module, ours: Output, theirs: Output) -> Tensor:
        """The loss at the patches that the student's second pass does not see."""
        grid = ours.features[-1].shape
        mask = random_patches(grid, self.ratio, run.generator("proteus/mask"), run.device)
        network = run.roles["student"]
        assert isinstance(network, Backbone)
        modality = run.recipe.roles["student"].modality
        images = batch.inputs[modality]
        covered = functional.interpolate(mask.float(), images.shape[-2:], mode="nearest").bool()
        hidden = torch.where(covered, network.mean.to(images), images)
        inputs = {**batch.inputs, modality: hidden}
        second = _seen(run, "student", replace(batch, inputs=inputs, origin=None)).features[-1]
        wanted = theirs.features[-1]
        there = functional.interpolate(mask.float(), wanted.shape[-2:], mode="nearest").bool()
        assert isinstance(head, Head)
        predicted = resized(head.mapped(second), wanted)
        return masked_loss(predicted, head.dense_standard(wanted), there)

    def _heads(self, run: Run) -> nn.ModuleDict:
        few = next(iter(run.data.train))
        with run.evaluating("student"), torch.no_grad():
            ours, theirs = _seen(run, "student", few), _seen(run, "teacher", few)

        def standard(term: str, example: Tensor) -> nn.Module:
            if not self.standardise:
                return nn.Identity()
            return Running(example.shape[1], self.momentum, device=example.device)

        with seeded(run.recipe.seed):
            heads = {"seen": Head(self.seen, ours, theirs, standard)}
            if self.masked and reads_patches(run.roles["student"]):
                heads["hidden"] = Head(self.hidden, ours, theirs, standard)
            return nn.ModuleDict(heads).to(run.device)


def reads_patches(network: nn.Module) -> bool:
    """Whether a network reads its image patch by patch, so that one of them can be hidden from it."""
    return isinstance(network, Backbone) and hasattr(network.model, "num_prefix_tokens")


def _seen(run: Run, role: str, batch: Batch) -> Output:
    """The output of a role in float32."""
    return run.see(role, batch).map(Tensor.float)
