import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from kdzoo.api import UNLABELLED, Batch, KdzooError, Output, softened_kl
from kdzoo_graph.functional import aggregate, info_nce, neighbour_graph
from kdzoo_graph.hkd import HKD

BATCH = Batch(torch.arange(6), {"image": torch.zeros(6, 3, 2, 2)})


def normal(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def output(seed, width, classes=4):
    return Output(normal(seed, 6, classes), embedding=normal(seed + 1, 6, width).requires_grad_())


def built(student, teacher, **settings):
    torch.manual_seed(0)
    knowledge = HKD(**settings)
    knowledge.build(student, teacher, None)
    return knowledge


def test_the_graph_joins_each_sample_with_those_of_the_nearest_probabilities():
    logits = normal(0, 7, 4)
    graph = neighbour_graph(logits, 3)
    probabilities = logits.softmax(dim=1).numpy()
    for i, row in enumerate(graph):
        cosines = [
            p @ probabilities[i] / np.linalg.norm(p) / np.linalg.norm(probabilities[i]) for p in probabilities
        ]
        assert set(row.nonzero()[:, 0].tolist()) == set(np.argsort(cosines)[-3:].tolist())
        assert row[i] > 0
    torch.testing.assert_close(graph.sum(dim=1), torch.ones(7, dtype=torch.float64))


def test_a_small_batch_is_joined_wholly():
    torch.testing.assert_close(neighbour_graph(normal(0, 3, 4), 8), torch.full((3, 3), 1 / 3).double())


def test_the_graph_has_no_gradient():
    assert not neighbour_graph(normal(0, 7, 4).requires_grad_(), 3).requires_grad


def test_aggregation_lists_every_hop():
    vertices, graph = normal(0, 5, 2), neighbour_graph(normal(1, 5, 3), 2)
    expected = torch.cat([vertices, graph @ vertices, graph @ graph @ vertices], dim=1)
    torch.testing.assert_close(aggregate(vertices, graph, hops=2), expected)


def test_info_nce_is_cross_entropy_both_ways():
    student, teacher = normal(0, 5, 3), normal(1, 5, 3)
    likeness = F.cosine_similarity(student[:, None], teacher[None], dim=2) / 0.1
    here = torch.arange(5)
    expected = F.cross_entropy(likeness, here, reduction="none") + F.cross_entropy(
        likeness.T, here, reduction="none"
    )
    torch.testing.assert_close(info_nce(student, teacher, 0.1), expected)
    torch.testing.assert_close(info_nce(student, teacher, 0.1, reduction="mean"), expected.mean())


def test_samples_left_out_are_no_negatives():
    student, teacher = normal(0, 5, 3), normal(1, 5, 3)
    everything = torch.ones(5, 5, dtype=torch.bool)
    torch.testing.assert_close(info_nce(student, teacher, left_out=everything), torch.zeros(5).double())
    some = torch.zeros(5, 5, dtype=torch.bool)
    some[3:, :3] = some[:3, 3:] = True
    torch.testing.assert_close(
        info_nce(student, teacher, left_out=some)[:3], info_nce(student[:3], teacher[:3])
    )


def test_gradients_are_right_on_both_sides():
    student, teacher = normal(0, 4, 3).requires_grad_(), normal(1, 4, 3).requires_grad_()
    graph = neighbour_graph(normal(2, 4, 3), 2)
    assert gradcheck(lambda a, b: info_nce(aggregate(a, graph), aggregate(b, graph), 0.5), (student, teacher))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(5, 3\) and \(4, 3\)"):
        info_nce(normal(0, 5, 3), normal(0, 4, 3))
    with pytest.raises(ValueError, match=r"\(5, 3\) and \(4, 4\)"):
        aggregate(normal(0, 5, 3), normal(0, 4, 4))
    with pytest.raises(ValueError, match="at least 1 neighbour"):
        neighbour_graph(normal(0, 5, 3), 0)


def test_every_parameter_and_both_sides_learn():
    student, teacher = output(0, 5), output(3, 9)
    knowledge = built(student, teacher, width=4, neighbours=3)
    loss = knowledge(student, teacher, BATCH)
    assert loss.shape == (6,)
    loss.mean().backward()
    parameters = list(knowledge.parameters())
    assert len(parameters) == 8
    assert all(parameter.grad.abs().sum() > 0 for parameter in parameters)
    assert student.embedding.grad.abs().sum() > 0


def test_the_loss_is_the_contrast_before_and_behind_the_graph_and_the_soft_targets():
    student, teacher = output(0, 5), output(3, 9)
    knowledge = built(student, teacher, width=4, neighbours=3, holistic=2.0, individual=3.0, soft=5.0)
    with torch.no_grad():
        ours, theirs = (
            F.normalize(side.linear(one.embedding), dim=1)
            for side, one in ((knowledge.student, student), (knowledge.teacher, teacher))
        )
        expected = 3 * info_nce(ours, theirs) + 5 * softened_kl(student.logits, teacher.logits, 4.0)
        gathered = [
            side.convolution(torch.cat([vertices, neighbour_graph(one.logits, 3) @ vertices], dim=1))
            for side, vertices, one in (
                (knowledge.student, ours, student),
                (knowledge.teacher, theirs, teacher),
            )
        ]
        expected += 2 * info_nce(*gathered)
        torch.testing.assert_close(knowledge(student, teacher, BATCH), expected)


def test_the_order_of_the_batch_only_reorders_the_loss():
    student, teacher = output(0, 5), output(3, 9)
    knowledge = built(student, teacher, width=4, neighbours=3)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    turned = [one.map(lambda tensor: tensor[order]) for one in (student, teacher)]
    torch.testing.assert_close(knowledge(student, teacher, BATCH)[order], knowledge(*turned, BATCH))


def test_samples_of_one_class_can_be_no_negatives():
    student, teacher = output(0, 5), output(3, 9)
    knowledge = built(student, teacher, width=4, neighbours=3, negatives="classes")
    without = Batch(BATCH.index, BATCH.inputs)
    unlabelled = Batch(BATCH.index, BATCH.inputs, torch.full((6,), UNLABELLED))
    alike = Batch(BATCH.index, BATCH.inputs, torch.full((6,), 2))
    usual = knowledge(student, teacher, without)
    torch.testing.assert_close(knowledge(student, teacher, unlabelled), usual)
    torch.testing.assert_close(knowledge(student, teacher, alike), torch.zeros(6).double())
    mixed = Batch(BATCH.index, BATCH.inputs, torch.full((6, 4), 0.25))
    with pytest.raises(KdzooError, match=r"take knowledge\.negatives=all"):
        knowledge(student, teacher, mixed)


def test_terms_without_weight_have_no_parameters():
    student, teacher = output(0, 5), output(3, 9)
    assert len(list(built(student, teacher, holistic=0.0).parameters())) == 4
    knowledge = built(student, teacher, holistic=0.0, individual=0.0, soft=1.0)
    assert not list(knowledge.parameters())
    torch.testing.assert_close(
        knowledge(student, teacher, BATCH), softened_kl(student.logits, teacher.logits, 4.0)
    )


def test_soft_targets_need_the_same_classes():
    with pytest.raises(KdzooError, match=r"knowledge\.soft=0"):
        built(output(0, 5), output(3, 9, classes=7), soft=1.0)
    built(output(0, 5), output(3, 9, classes=7))


def test_it_is_computed_in_float32_under_autocast():
    student, teacher = (one.map(torch.Tensor.float) for one in (output(0, 5), output(3, 9)))
    knowledge = built(student, teacher)
    expected = knowledge(student, teacher, BATCH)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(knowledge(student, teacher, BATCH), expected, rtol=0, atol=0)
    half = [one.map(torch.Tensor.bfloat16) for one in (student, teacher)]
    assert knowledge(*half, BATCH).dtype == torch.float32
