"""A third-party loss as a Knowledge: the same values, the same gradient, its own hyper-parameters."""

import functools

import pytest
import torch
from pydantic import PositiveFloat
from torch import nn
from torch.nn import functional

from kdzoo.api import UNLABELLED, Batch, KdzooError, LossKnowledge, Output, Taps
from kdzoo.zoo.hyperparameters import describe, schema


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def output(seed, classes=5, width=7, channels=3, side=4):
    return Output(normal(seed, 6, classes), (normal(seed, 6, channels, side, side),), normal(seed, 6, width))


def batch(target=None):
    return Batch(torch.arange(6), {}, target, 0.5)


TARGET = torch.tensor([0, 1, 2, 3, 4, 0])


def distance(student, teacher, power=2, *, scale: float = 1.0):
    """The distance to a power.

    Args:
        power: of the distance.
        scale: multiplies the loss.
    """
    return scale * ((student - teacher).abs() ** power).flatten(1).sum(1)


class Distance(LossKnowledge):
    name = "distance"
    kind = "response"
    loss = distance  # a plain function will do: it is not bound to the instance


class Labelled(LossKnowledge):
    """Cross-entropy beside the distance of the logits."""

    name = "labelled"
    kind = "response"
    target = True

    @staticmethod
    def loss(student, teacher, target, share: float = 0.5):
        entropy = functional.cross_entropy(student, target, reduction="none")
        return share * entropy + (1 - share) * distance(student, teacher)


class Learned(nn.Module):
    """A loss with a weight of its own.

    Args:
        width: of both tensors.
        beta: where the loss becomes linear.
    """

    def __init__(self, width: int = 7, beta: float = 1.0):
        super().__init__()
        self.map = nn.Linear(width, width, dtype=torch.float64)
        self.beta = beta

    def forward(self, student, teacher):
        return functional.smooth_l1_loss(self.map(student), teacher, beta=self.beta)


class OnEmbeddings(LossKnowledge):
    name = "on-embeddings"
    kind = "feature"
    loss = Learned
    on = "embedding"


class OnMaps(LossKnowledge):
    name = "on-maps"
    kind = "feature"
    loss = staticmethod(distance)
    on = -2


def test_values_and_gradient_are_those_of_the_function():
    student, teacher = output(0), output(1)
    student.logits.requires_grad_()
    for knowledge, plain in (
        (Distance(), distance(student.logits, teacher.logits)),
        (Distance(power=1, scale=3.0), distance(student.logits, teacher.logits, 1, scale=3.0)),
    ):
        loss = knowledge(student, teacher, batch())
        assert loss.dtype == torch.float64
        assert torch.equal(loss, plain)
        gradients = [torch.autograd.grad(one.sum(), student.logits)[0] for one in (loss, plain)]
        assert torch.equal(*gradients)


def test_half_precision_is_computed_in_float32():
    student, teacher = (output(seed).map(torch.Tensor.bfloat16) for seed in (0, 1))
    assert Distance()(student, teacher, batch()).dtype == torch.float32


def test_labels_are_passed_and_samples_without_one_are_left_out():
    student, teacher = output(0), output(1)
    plain = Labelled.loss(student.logits, teacher.logits, TARGET, 0.3)
    knowledge = Labelled(share=0.3)
    assert torch.equal(knowledge(student, teacher, batch(TARGET)), plain)
    known = torch.tensor([True, False, True, True, False, True])
    loss = knowledge(student, teacher, batch(TARGET.where(known, UNLABELLED)))
    assert torch.equal(loss, plain.where(known, 0))
    nobody = knowledge(student, teacher, batch(torch.full_like(TARGET, UNLABELLED)))
    assert nobody == 0
    probabilities = functional.one_hot(TARGET, 5).double()
    torch.testing.assert_close(knowledge(student, teacher, batch(probabilities)), plain)
    with pytest.raises(KdzooError, match="knowledge 'labelled' needs labels"):
        knowledge(student, teacher, batch())


def test_a_scalar_over_the_labelled_samples():
    class Mean(LossKnowledge):
        name, kind, target = "mean", "response", True
        loss = staticmethod(lambda student, teacher, target: functional.cross_entropy(student, target))

    student = output(0)
    some = TARGET.where(torch.arange(6) < 4, UNLABELLED)
    loss = Mean()(student, output(1), batch(some))
    assert torch.equal(loss, functional.cross_entropy(student.logits[:4], TARGET[:4]))


def test_each_arrow_has_a_module_of_its_own_and_it_learns():
    one, other = OnEmbeddings(), OnEmbeddings(beta=0.5)
    assert one.taps == Taps(embedding=True)
    assert one.function is not other.function
    assert (one.function.beta, other.function.beta) == (1.0, 0.5)
    assert {name for name, _ in one.named_parameters()} == {"function.map.weight", "function.map.bias"}
    student, teacher = output(0), output(1)
    one(student, teacher, batch()).backward()
    assert one.function.map.weight.grad.abs().sum() > 0


def test_an_instance_is_copied():
    shared = Learned(beta=2.0)

    class Copied(LossKnowledge):
        name, kind, on = "copied", "feature", "embedding"
        loss = shared

    one = Copied()
    assert one.function is not shared
    assert torch.equal(one.function.map.weight, shared.map.weight)
    assert not schema(Copied).model_fields


def test_a_partial_of_a_class_makes_modules():
    class Wide(LossKnowledge):
        name, kind, on = "wide", "feature", "embedding"
        loss = functools.partial(Learned, beta=3.0)

    assert Wide().function.beta == 3.0
    assert schema(Wide).model_fields["beta"].default == 3.0


@pytest.mark.parametrize(
    ("knowledge", "student", "weight"),
    [
        (OnEmbeddings, output(0, width=4), (7, 4)),
        (OnMaps, output(0, channels=2, side=8), (3, 2, 1, 1)),
    ],
)
def test_other_channels_are_projected_to_the_teacher_s(knowledge, student, weight):
    made, teacher = knowledge(), output(1)
    made.build(student, teacher, run=None)
    assert made.projection.weight.shape == weight
    made.double()
    if knowledge is OnMaps:
        pooled = functional.adaptive_avg_pool2d(student.features[0], 4)
        plain = distance(made.projection(pooled), teacher.features[0])
    else:
        plain = made.function(made.projection(student.embedding), teacher.embedding)
    assert torch.equal(made(student, teacher, batch()), plain)


def test_no_projection_where_the_channels_are_alike():
    made = OnMaps()
    made.build(output(0), output(1, side=2), run=None)
    assert made.taps == Taps((-2,))
    assert not list(made.parameters())


def test_pairs_that_cannot_be_compared_are_refused():
    class Bare(OnMaps):
        project = False

    with pytest.raises(KdzooError, match=r"the student has 2 channels, the teacher 3"):
        Bare().build(output(0, channels=2), output(1), run=None)
    with pytest.raises(KdzooError, match=r"the student has 4 classes, the teacher 5"):
        Distance().build(output(0, classes=4), output(1), run=None)


@pytest.mark.parametrize(
    ("loss", "says"),
    [(lambda s, t: (s - t) ** 2, r"not \(6, 5\)"), (lambda s, t: {"loss": s.sum()}, "not dict")],
)
def test_what_is_no_loss_is_refused(loss, says):
    odd = type("Odd", (LossKnowledge,), {"name": "odd", "kind": "response", "loss": staticmethod(loss)})
    with pytest.raises(KdzooError, match=f"the loss of knowledge 'odd' must be .*{says}"):
        odd()(output(0), output(1), batch())


def test_a_class_without_a_loss_is_refused():
    with pytest.raises(KdzooError, match=r"Nothing\.loss must be a function"):
        type("Nothing", (LossKnowledge,), {"name": "nothing", "kind": "response"})()


def test_hyper_parameters_are_the_loss_s():
    fields = {one.name: (one.type, one.default, one.meaning) for one in describe(Distance)}
    assert fields == {
        "power": ("int or float", 2, "of the distance."),
        "scale": ("float", 1.0, "multiplies the loss."),
    }
    assert list(schema(Labelled).model_fields) == ["share"]
    assert [one.meaning for one in describe(OnEmbeddings)] == [
        "of both tensors.",
        "where the loss becomes linear.",
    ]


def test_an_init_of_ones_own_gives_ranges():
    class Ranged(Distance):
        def __init__(self, power: PositiveFloat = 2.0) -> None:
            super().__init__(power=power)

    assert [one.range for one in describe(Ranged)] == ["> 0"]
    student, teacher = output(0), output(1)
    assert torch.equal(
        Ranged(power=1.0)(student, teacher, batch()), distance(student.logits, teacher.logits, 1.0)
    )


def test_a_subclass_may_turn_the_labels_on():
    class On(LossKnowledge):
        name, kind = "on", "response"
        loss = staticmethod(
            lambda student, teacher, target=None, scale=1.0: scale * distance(student, teacher)
        )

    class With(On):
        target = True

    assert list(schema(On).model_fields) == ["target", "scale"]
    assert list(schema(With).model_fields) == ["scale"]
    student, teacher = output(0), output(1)
    assert torch.equal(
        With(scale=2.0)(student, teacher, batch(TARGET)), 2 * distance(student.logits, teacher.logits)
    )
