"""What is looked for in the loss of one batch: a knowledge that is wrong, and one that is right."""

from typing import Annotated, ClassVar, Literal

import pytest
import torch
from pydantic import Field, PositiveFloat
from torch import nn
from torch.nn import functional

from kdzoo.api import Knowledge, Taps
from kdzoo.registry.model import Method


class Right(Knowledge):
    """The squared distance of the embeddings, one of them projected, softened logits beside it: multiplied by T².

    Args:
        temperature: divides the logits.
    """

    name = "right"
    kind = "feature"
    taps = Taps(embedding=True)

    def __init__(self, temperature: PositiveFloat = 4.0) -> None:
        super().__init__()
        self.temperature = temperature

    def build(self, student, teacher, run):
        self.project = nn.Linear(student.embedding.shape[1], teacher.embedding.shape[1])

    def forward(self, student, teacher, batch):
        hot = self.temperature
        soft = functional.log_softmax(student.logits / hot, 1), functional.softmax(teacher.logits / hot, 1)
        divergence = functional.kl_div(*soft, reduction="none").sum(1) * self.square()
        return divergence + (self.project(student.embedding) - teacher.embedding).square().mean(1)

    def square(self):
        return self.temperature**2


CHECKS = ("gradient", "zero", "mean", "batch-order", "hyper-parameter", "temperature")


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_is_found_in_a_right_one(found, check):
    assert found(Right, check) == []


def only_one(findings, check, what, where):
    assert [one.check for one in findings] == [check]
    assert what in findings[0].what
    assert where in findings[0].where
    assert findings[0].mend
    assert "kdzoo-made 1.2.3" in str(findings[0])


def test_a_parameter_without_gradient(found):
    class Idle(Right):
        name = "idle"

        def build(self, student, teacher, run):
            super().build(student, teacher, run)
            self.scale = nn.Parameter(torch.ones(3))

    only_one(found(Idle, "gradient"), "gradient", "no gradient reaches", "parameter scale")


def test_a_parameter_whose_gradient_is_zero(found):
    class Frozen(Right):
        name = "frozen"

        def build(self, student, teacher, run):
            super().build(student, teacher, run)
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, student, teacher, batch):
            return super().forward(student, teacher, batch) + 0 * self.scale

    only_one(found(Frozen, "gradient"), "gradient", "zero throughout", "parameter scale")


def test_a_loss_that_is_zero(found):
    class Zero(Right):
        name = "zero"

        def forward(self, student, teacher, batch):
            return 0 * super().forward(student, teacher, batch)

    findings = found(Zero, "zero")
    assert "exactly zero" in findings[0].what
    assert "no gradient reaches the student" in findings[1].what


def test_a_student_that_was_detached(found):
    class Detached(Right):
        name = "detached"

        def forward(self, student, teacher, batch):
            return super().forward(student.detach(), teacher, batch)

    only_one(found(Detached, "zero"), "zero", "no gradient reaches the student's answer", "forward")


def test_a_loss_that_is_not_finite(found):
    class Endless(Right):
        name = "endless"

        def forward(self, student, teacher, batch):
            return super().forward(student, teacher, batch) / 0

    only_one(found(Endless, "zero"), "zero", "inf", "forward")


def test_a_sum_over_the_batch(found):
    class Sum(Right):
        name = "sum"

        def forward(self, student, teacher, batch):
            return super().forward(student, teacher, batch).sum()

    only_one(found(Sum, "mean"), "mean", "2.00 times as large", "forward")


def test_a_loss_for_each_class_instead_of_each_sample(found):
    class Odd(Right):
        name = "odd"

        def forward(self, student, teacher, batch):
            return (student.logits - teacher.logits).square().mean(0)

    only_one(found(Odd, "mean"), "mean", "(10,)", "forward")


class Ordered(Right):
    """Each sample is compared with the next one alone."""

    name = "ordered"

    def forward(self, student, teacher, batch):
        steps = student.logits.diff(dim=0) - teacher.logits.diff(dim=0)
        return steps.square().mean()


def test_a_loss_that_depends_on_the_order(found):
    only_one(found(Ordered, "batch-order"), "batch-order", "in another order", "forward")


def test_an_exemption_with_a_reason_is_granted(found):
    class Declared(Ordered):
        name = "declared"
        exempt: ClassVar = {"batch-order": "neighbours are compared on purpose"}

    assert found(Declared, "batch-order") == []
    assert found(Declared, "exemption") == []


@pytest.mark.parametrize(
    "declared", [{"batch-order": " "}, {"batch-order": True}, ("batch-order",), "batch-order"]
)
def test_an_exemption_without_a_reason(found, declared):
    class Silent(Ordered):
        name = "silent"
        exempt = declared

    only_one(found(Silent, "batch-order"), "batch-order", "in another order", "forward")
    only_one(found(Silent, "exemption"), "exemption", "without a reason", "'batch-order'")


def test_an_exemption_from_no_check(found):
    class Misspelt(Right):
        name = "misspelt"
        exempt: ClassVar = {"batch-ordre": "neighbours are compared on purpose"}

    only_one(found(Misspelt, "exemption"), "exemption", "did you mean batch-order", "exempt")


def test_a_hyperparameter_that_does_nothing(found):
    class Deaf(Right):
        name = "deaf"

        def __init__(self, temperature: PositiveFloat = 4.0, margin: float = 0.5) -> None:
            super().__init__(temperature)
            self.margin = margin

    only_one(found(Deaf, "hyper-parameter"), "hyper-parameter", "nothing changes with 0.25 and 1.0", "margin")


def test_a_hyperparameter_that_does_nothing_is_not_saved_by_its_range(found):
    class Deaf(Right):
        name = "deaf"

        def __init__(self, share: Annotated[float, Field(gt=0, le=1)] = 0.6) -> None:
            super().__init__()
            self.share = share

    only_one(found(Deaf, "hyper-parameter"), "hyper-parameter", "nothing changes with 0.3 in", "share")


@pytest.mark.slow
def test_one_hyperparameter_may_be_exempt_and_no_other(found):
    class Deaf(Right):
        name = "deaf"
        exempt: ClassVar = {"hyper-parameter:margin": "it shows in pictures alone"}

        def __init__(self, margin: float = 0.5, ripples: float = 0.5) -> None:
            super().__init__()
            self.margin, self.ripples = margin, ripples

    only_one(found(Deaf, "hyper-parameter"), "hyper-parameter", "nothing changes", "ripples")
    assert found(Deaf, "exemption") == []


def test_an_exemption_of_no_hyperparameter(found):
    class Outdated(Right):
        name = "outdated"
        exempt: ClassVar = {"hyper-parameter:margin": "it shows in pictures alone"}

    only_one(found(Outdated, "exemption"), "exemption", "'margin', which is no hyper-parameter", "exempt")


def test_a_factor_that_the_card_denies(found):
    class Cold(Right):
        """Softened logits; the loss is not multiplied by T².

        Args:
            temperature: divides the logits.
        """

        name = "cold"

        def square(self):
            return 1.0

    assert found(Cold, "temperature") == []


def test_a_temperature_that_is_not_squared(found):
    class Cold(Right):
        """Softened logits, multiplied by T².

        Args:
            temperature: divides the logits.
        """

        name = "cold"

        def square(self):
            return 1.0

    only_one(found(Cold, "temperature"), "temperature", "multiplied by T²", "hyper-parameter temperature")


def test_a_component_that_raises(found):
    class Broken(Right):
        name = "broken"

        def forward(self, student, teacher, batch):
            return student.features[3]

    only_one(found(Broken, "zero"), "zero", "IndexError", "test_lessons.py")


@pytest.mark.slow
def test_a_hyperparameter_that_counts_under_another_choice(found):
    class Choosy(Right):
        name = "choosy"

        def __init__(self, form: Literal["plain", "shifted"] = "plain", margin: float = 0.5) -> None:
            super().__init__()
            self.margin = margin if form == "shifted" else 0.0

        def forward(self, student, teacher, batch):
            return super().forward(student, teacher, batch) + self.margin

    assert found(Choosy, "hyper-parameter") == []


@pytest.mark.slow
def test_a_hyperparameter_that_counts_in_another_method(found):
    class Choosy(Right):
        name = "choosy"

        def __init__(self, form: str = "plain", margin: float = 0.5) -> None:
            super().__init__()
            self.margin = margin if form == "shifted" else 0.0

        def forward(self, student, teacher, batch):
            return super().forward(student, teacher, batch) + self.margin

    def method(form):
        entry = {"title": form, "category": "response", "package": "kdzoo-made"}
        return Method.model_validate({**entry, "knowledge": {"name": "choosy", "form": form}})

    (finding,) = found(Choosy, "hyper-parameter", method=method("plain"))
    assert finding.item == "margin"
    others = {"choosy-shifted": method("shifted")}
    assert found(Choosy, "hyper-parameter", method=method("plain"), others=others) == []


def test_a_hyperparameter_of_a_memory_that_counts_in_a_run_alone(found):
    class Remembering(Right):
        name = "remembering"

        def __init__(self, momentum: float = 0.5) -> None:
            super().__init__()
            self.momentum = momentum
            self.register_buffer("past", torch.zeros(()))
            self.register_buffer("steps", torch.zeros(()))

        def forward(self, student, teacher, batch):
            loss = super().forward(student, teacher, batch)
            loss = loss + (self.steps > 6) * self.past * student.logits.mean(1)  # once it has seen enough
            self.past = self.past.lerp(teacher.logits.mean(), self.momentum)
            self.steps = self.steps + 1
            return loss

    assert found(Remembering, "hyper-parameter") == []


def test_a_hyperparameter_that_counts_at_the_beginning(found):
    class Warming(Right):
        name = "warming"

        def __init__(self, warmup: PositiveFloat = 0.1) -> None:
            super().__init__()
            self.warmup = warmup

        def forward(self, student, teacher, batch):
            return super().forward(student, teacher, batch) * min(1.0, batch.progress / self.warmup)

    assert found(Warming, "hyper-parameter") == []
