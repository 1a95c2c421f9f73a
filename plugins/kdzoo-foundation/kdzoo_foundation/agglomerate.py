"""Agglomeration: several teachers, a head each; Ranzinger et al. 2024, Sariyildiz et al. 2024."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from kdzoo.api import Algorithm, Batch, KdzooError, Output, Phase, Run, seeded
from kdzoo_foundation.features import Momentum
from kdzoo_foundation.functional.dropping import kept_teachers
from kdzoo_foundation.head import SHOWN_BY_LONGER_RUNS, Head, Standardise, Terms
from kdzoo_foundation.standardise import Moments, Rotated, Running


class Agglomerate(Terms, Algorithm):
    """The student predicts the features of every teacher, each by a head of its own, without labels.

    Every role named ``teacher...`` teaches.

    Args:
        balance: how the teachers' features are brought to one scale. ``running``: mean and deviation of each
            channel, by running averages (UNIC). ``phi-s``: rotated, then one scale, measured before the first step.
        momentum: weight of the newest batch in the running averages.
        measured: number of training batches that ``phi-s`` is measured on.
        drop: probability that a teacher is dropped for an image which the student fits worse for another teacher.
    """

    name = "agglomerate"
    needs_loop = ""
    exempt: ClassVar = SHOWN_BY_LONGER_RUNS
    reads_teacher = True
    reads_logits = False
    needs_labels = False

    def __init__(
        self,
        balance: Literal["running", "phi-s", "none"] = "running",
        momentum: Momentum = 0.01,
        measured: PositiveInt = 100,
        drop: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.balance = balance
        self.momentum = momentum
        self.measured = measured
        self.drop = drop

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        yield self.phase(run, "agglomerate", "student", self.teachers(run), run.recipe.epochs)

    def teachers(self, run: Run) -> list[str]:
        """The roles that teach.

        Raises:
            KdzooError: there is none.
        """
        found = [role for role in run.roles if role.startswith("teacher")]
        if not found:
            raise KdzooError(
                f"algorithm {self.name!r} needs teachers: pass --scheme agglomerate --teacher MODEL"
            )
        return found

    def phase(
        self,
        run: Run,
        name: str,
        student: str,
        teachers: Sequence[str],
        epochs: int,
        *,
        validate: bool = True,
    ) -> Phase:
        """The phase in which ``teachers`` teach ``student``; its heads are the role ``heads``."""
        for role in (student, *teachers):
            run.tap(role, *self.taps.of("student"), embedding=self.taps.embedding)
        run.enroll("heads", self._heads(run, student, teachers), student=False)

        def step(batch: Batch) -> Mapping[str, Tensor]:
            theirs = [_seen(run, role, batch).detach() for role in teachers]
            ours = _seen(run, student, batch)
            heads = run.roles["heads"]
            assert isinstance(heads, nn.ModuleDict)
            losses = torch.stack([heads[role](ours, one) for role, one in zip(teachers, theirs, strict=True)])
            kept = kept_teachers(losses, self.drop, run.generator(f"{name}/drop"))
            loss = (kept * losses).mean()
            run.update(loss, student, "heads")
            fits = {
                f"fit/{role}": one for role, one in zip(teachers, losses.detach().mean(dim=1), strict=True)
            }
            return {"teach": loss, **(fits if len(teachers) > 1 else {})}

        return Phase(name, run.data.train, step, epochs, validate=validate)

    def _heads(self, run: Run, student: str, teachers: Sequence[str]) -> nn.ModuleDict:
        few = next(iter(run.data.train))
        with run.evaluating(student), torch.no_grad():
            ours = _seen(run, student, few)
            examples = {role: _seen(run, role, few) for role in teachers}
        moments = self._measure(run, examples) if self.balance == "phi-s" else {}
        with seeded(run.recipe.seed):
            return nn.ModuleDict(
                {
                    role: Head(self, ours, example, self._standard(role, moments)).to(run.device)
                    for role, example in examples.items()
                }
            )

    def _standard(self, role: str, moments: Mapping[str, tuple[Tensor, Tensor]]) -> Standardise:
        def make(term: str, example: Tensor) -> nn.Module:
            if self.balance == "none":
                return nn.Identity()
            if self.balance == "running":
                return Running(example.shape[1], self.momentum, device=example.device)
            return Rotated(*moments[f"{role}/{term}"])

        return make

    def _measure(self, run: Run, examples: Mapping[str, Output]) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and covariance of each term of each teacher; measured once, and kept for a resume."""
        key = f"agglomerate/{'+'.join(examples)}"
        if key not in run.state:
            found: dict[str, Moments] = {}
            with torch.no_grad():
                for batch in islice(run.data.train, self.measured):
                    for role in examples:
                        output = _seen(run, role, batch)
                        for term, feature in self._terms(output).items():
                            place = f"{role}/{term}"
                            if place not in found:
                                found[place] = Moments(feature.shape[1], feature.device)
                            found[place].add(feature)
            run.state[key] = {place: one.found() for place, one in found.items()}
        measured: dict[str, tuple[Tensor, Tensor]] = run.state[key]
        return measured

    def _terms(self, output: Output) -> dict[str, Tensor]:
        terms = {"pooled": output.embedded} if self.pooled else {}
        if self.dense and self.dense_loss != "kl":
            terms["dense"] = output.features[-1]
        return terms


def _seen(run: Run, role: str, batch: Batch) -> Output:
    """The output of a role in float32."""
    return run.see(role, batch).map(Tensor.float)
