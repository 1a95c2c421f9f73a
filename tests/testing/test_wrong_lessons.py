"""Losses that are wrong where one batch of two random networks does not show it, and right ones that look so."""

from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from pydantic import Field, PositiveFloat
from torch import nn
from torch.nn import functional

from kdzoo.api import Knowledge, Taps


def only_one(findings, what, where):
    assert [str(one) for one in findings if what not in one.what or where not in one.where] == []
    assert len(findings) == 1


class Distance(Knowledge):
    """The squared distance of the logits."""

    name = "distance"
    kind = "response"
    taps = Taps(embedding=True)

    def forward(self, student, teacher, batch):
        return (student.logits - teacher.logits).square().mean(1)


class Draws(Distance):
    """A run's generator, kept for the forward passes."""

    def build(self, student, teacher, run):
        self.generator = run.generator("mask")


@pytest.mark.parametrize("power", [0.5, 2])
def test_a_mean_that_is_divided_by_the_batch_again(found, power):
    class Twice(Distance):
        name = "twice"

        def forward(self, student, teacher, batch):
            return super().forward(student, teacher, batch).sum() / len(batch) ** power

    only_one(found(Twice, "mean"), f"{2 ** (1 - power):.2f} times as large", "forward")


def test_a_variance_that_divides_by_one_less_is_a_mean(found):
    class Spread(Distance):
        name = "spread"

        def forward(self, student, teacher, batch):
            return (student.logits - teacher.logits).var(0).mean()

    assert found(Spread, "mean") == []


@pytest.mark.parametrize(
    "text",
    [
        r"Softened logits, $L = \tau^2 \, \mathrm{KL}$.",
        r"Softened logits, $L = \tau^{2} \, \mathrm{KL}$.",
        "Softened logits, times the square of the temperature.",
        "Softened logits; the loss is multiplied by the temperature squared.",
        "Softened logits, multiplied by τ².",
        "Softened logits, multiplied by T**2.",
    ],
)
@pytest.mark.parametrize("right", [False, True])
def test_a_factor_in_a_formula_or_in_words(found, text, right):
    class Cold(Distance):
        __doc__ = f"{text}\n\n    Args:\n        tau: divides the logits.\n    "
        name = "cold"

        def __init__(self, tau: PositiveFloat = 4.0) -> None:
            super().__init__()
            self.tau = tau

        def forward(self, student, teacher, batch):
            ours = functional.log_softmax(student.logits / self.tau, 1)
            theirs = functional.softmax(teacher.logits / self.tau, 1)
            loss = functional.kl_div(ours, theirs, reduction="none").sum(1)
            return loss * self.tau**2 if right else loss

    findings = found(Cold, "temperature")
    if right:
        assert findings == []
    else:
        only_one(findings, "multiplied by T²", "hyper-parameter tau")


class Entropy(Distance):
    """A divergence of probabilities instead of their logarithms: fine until a probability is zero."""

    name = "entropy"

    def forward(self, student, teacher, batch):
        ours, theirs = student.logits.softmax(1), teacher.logits.softmax(1)
        return (theirs * (theirs / ours).log()).sum(1)


class Root(Distance):
    """Distances of the samples to the first one; the root has an infinite slope at zero."""

    name = "root"

    def forward(self, student, teacher, batch):
        ours, theirs = (
            (one.logits - one.logits.mean(0)).square().sum(1).sqrt() for one in (student, teacher)
        )
        return (ours - theirs).square()


def test_probabilities_of_zero(found):
    findings = found(Entropy, "saturated")
    assert {one.what for one in findings} >= {"with a teacher that is sure the loss is nan"}


def test_equal_samples(found):
    findings = found(Root, "saturated")
    assert "with equal samples the gradient is not finite" in {one.what for one in findings}


def test_what_is_finite_everywhere(found):
    assert found(Distance, "saturated") == []


def test_a_mask_drawn_from_the_runs_generator_is_no_order(found):
    class Masked(Draws):
        name = "masked"

        def forward(self, student, teacher, batch):
            mask = torch.rand(student.logits.shape, generator=self.generator) < 0.5
            return ((student.logits - teacher.logits) * mask).square().mean(1)

    assert found(Masked, "batch-order") == []
    assert found(Masked, "mean") == []


def test_a_masked_loss_of_the_first_samples_alone_still_depends_on_the_order(found):
    class Masked(Draws):
        name = "masked"

        def forward(self, student, teacher, batch):
            mask = torch.rand(student.logits.shape, generator=self.generator) < 0.9
            return ((student.logits - teacher.logits) * mask).square()[:2].mean()

    only_one(found(Masked, "batch-order"), "on average instead of", "forward")


@pytest.mark.parametrize("check", ["batch-order", "mean"])
def test_a_queue_in_a_buffer_is_neither_an_order_nor_a_sum(found, check):
    class Queue(Distance):
        name = "queue"

        def build(self, student, teacher, run):
            self.register_buffer("queue", torch.zeros(64, teacher.logits.shape[1]))

        def forward(self, student, teacher, batch):
            loss = super().forward(student, teacher, batch) + (student.logits @ self.queue.T).logsumexp(1)
            self.queue = torch.cat([teacher.logits.detach(), self.queue])[:64]
            return loss

    assert found(Queue, check) == []


def test_numpys_random_numbers_are_no_order(found):
    class Drawn(Distance):
        name = "drawn"

        def forward(self, student, teacher, batch):
            return super().forward(student, teacher, batch) * float(np.random.rand())

    assert found(Drawn, "batch-order") == []


def test_an_error_is_no_hyper_parameter_without_effect(found):
    class Broken(Distance):
        name = "broken"

        def __init__(self, first: float = 1.0, second: float = 2.0) -> None:
            super().__init__()

        def forward(self, student, teacher, batch):
            raise ValueError("not implemented yet")

    only_one(found(Broken, "hyper-parameter"), "ValueError: not implemented yet", "test_wrong_lessons.py")


def test_pretrained_is_not_switched_on(found):
    class Fetching(Distance):
        name = "fetching"

        def __init__(self, pretrained: bool = False) -> None:
            super().__init__()
            assert not pretrained, "this would be a download"

    assert found(Fetching, "hyper-parameter") == []


def test_a_hyper_parameter_of_another_choice_that_counts_in_a_run_alone(found):
    class Choosy(Distance):
        name = "choosy"

        def __init__(
            self,
            form: Literal["plain", "memory"] = "plain",
            momentum: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        ) -> None:
            super().__init__()
            self.form, self.momentum = form, momentum
            self.register_buffer("past", torch.zeros(()))
            self.register_buffer("steps", torch.zeros(()))

        def forward(self, student, teacher, batch):
            loss = super().forward(student, teacher, batch)
            if self.form == "memory":
                loss = loss + (self.steps > 6) * self.past * student.logits.mean(1)
                self.past = self.past.lerp(teacher.logits.mean(), self.momentum)
                self.steps = self.steps + 1
            return loss

    assert found(Choosy, "hyper-parameter") == []


def test_an_extra_state_is_weights_like_others(found):
    class Extra(Distance):
        name = "extra"

        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def get_extra_state(self):
            return {"calls": self.calls}

        def set_extra_state(self, state):
            self.calls = state["calls"]

        def forward(self, student, teacher, batch):
            self.calls += 1
            return super().forward(student, teacher, batch) * (1 + self.calls % 3)

    for check in ("teacher", "student-mode", "leak", "seed", "resume", "trained", "kept-maps"):
        assert [str(one) for one in found(Extra, check)] == []


def test_a_connector_in_a_list(found):
    class Hidden(Distance):
        name = "hidden"

        def build(self, student, teacher, run):
            self.maps = [nn.Linear(student.embedded.shape[1], teacher.embedded.shape[1])]

        def forward(self, student, teacher, batch):
            return (self.maps[0](student.embedded) - teacher.embedded).square().mean(1)

    findings = found(Hidden, "trained")
    assert {one.where for one in findings} == {"loss"}
    assert "belongs to no role and is never optimised" in findings[0].what


@pytest.mark.parametrize(
    ("side", "part"),
    [("student", "logits"), ("student", "embedding"), ("teacher", "logits"), ("teacher", "features")],
)
def test_an_output_that_is_changed_in_place(found, part, side):
    class Changing(Distance):
        name = "changing"
        taps = Taps(student=(-1,), embedding=True)

        def forward(self, student, teacher, batch):
            output = student if side == "student" else teacher
            one = output.features[0] if part == "features" else getattr(output, part)
            loss = super().forward(student.map(torch.clone), teacher.map(torch.clone), batch)
            one.detach().sub_(one.detach().mean())
            return loss

    what = "a map" if part == "features" else f"its {part}"
    only_one(found(Changing, "in-place"), what, f"role {side}")
