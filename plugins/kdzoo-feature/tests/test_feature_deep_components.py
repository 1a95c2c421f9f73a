import io
from dataclasses import dataclass, field

import pytest
import timm
import torch
from torch import nn

from kdzoo.api import Backbone, Batch, KdzooError, Output
from kdzoo_feature.borrowed import Borrowed
from kdzoo_feature.functional import batch_norm_margin, hcl_loss, ofd_loss, regression_loss, vid_loss
from kdzoo_feature.ofd import OFD
from kdzoo_feature.preactivation import PreActivation
from kdzoo_feature.reviewkd import ReviewKD
from kdzoo_feature.simkd import ReusedClassifier, SimKD
from kdzoo_feature.srrl import SRRL
from kdzoo_feature.vid import VID


def batch(progress=0.5):
    return Batch(torch.arange(4), {"image": torch.zeros(4, 3, 2, 2)}, progress=progress)


def maps(*shapes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(4, *shape, generator=draw).requires_grad_() for shape in shapes)


def output(*shapes, seed=0, **others):
    return Output(torch.zeros(4, 3), maps(*shapes, seed=seed), **others)


def network(name, size=28, **settings):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=10, in_chans=1, **settings)
    for module in model.modules():  # as after some training: nothing is zero or one
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, 0.0, 0.5)
    return Backbone(model.eval(), input_size=(size, size))


@dataclass
class Roles:
    """As much of a run as building needs."""

    roles: dict[str, nn.Module] = field(default_factory=dict)


# vid, reviewkd


@pytest.mark.parametrize("kind", [VID, ReviewKD])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([(8, 4, 4), (16, 1, 1)], [(12, 2, 2), (6, 1, 1)]),
        ([(8, 4, 4), (16, 2, 2), (24, 1, 1)], [(24, 5, 5)] * 3),  # a transformer teaches
    ],
)
def test_every_parameter_and_every_stage_learns(kind, ours, theirs):
    student, teacher = output(*ours), output(*theirs, seed=1)
    torch.manual_seed(0)
    knowledge = kind(stages=tuple(range(-len(ours), 0)))
    knowledge.build(student, teacher, None)
    loss = knowledge(student, teacher.detach(), batch())
    assert loss.shape == (4,)
    loss.mean().backward()
    silent = [name for name, one in knowledge.named_parameters() if not one.grad.abs().sum() > 0]
    assert silent == []
    assert all(feature.grad.abs().sum() > 0 for feature in student.features)


def test_vid_begins_with_the_variance_asked_for():
    student, teacher = output((5, 4, 4)), output((6, 4, 4), seed=1)
    for variance in (1e-3, 5.0, 500.0):
        knowledge = VID(stages=(-2,), variance=variance)
        knowledge.build(student, teacher, None)
        mean, found = knowledge.gaussians[0](student.features[0])
        torch.testing.assert_close(found, torch.full((6,), variance), rtol=1e-4, atol=0)
        expected = vid_loss(mean, teacher.features[0], found, reduction="none")
        torch.testing.assert_close(knowledge(student, teacher, batch()), expected)


def test_the_variance_learns_where_the_mean_cannot_explain_the_teacher():
    """A variance that is in no list of parameters, as in a known implementation, would stay where it began."""
    student = Output(torch.zeros(4, 3), (torch.zeros(4, 5, 4, 4),))
    scale = torch.tensor([0.5, 1.0, 4.0])[:, None, None]
    draw = torch.Generator().manual_seed(0)
    teacher = Output(torch.zeros(4, 3), (scale * torch.randn(4, 3, 4, 4, generator=draw),))
    knowledge = VID(stages=(-1,))
    knowledge.build(student, teacher, None)
    optimizer = torch.optim.Adam(knowledge.parameters(), lr=0.3)
    for _ in range(250):
        optimizer.zero_grad()
        knowledge(student, teacher, batch()).mean().backward()
        optimizer.step()
    found = knowledge.gaussians[0](student.features[0])[1]
    torch.testing.assert_close(found, teacher.features[0].square().mean(dim=(0, 2, 3)), rtol=0.1, atol=0)


def test_reviewkd_reviews_from_the_deepest_stage_up():
    student, teacher = output((8, 4, 4), (16, 2, 2)), output((6, 4, 4), (7, 2, 2), seed=1)
    knowledge = ReviewKD(stages=(-2, -1), width=5, warmup=0.0)
    knowledge.build(student, teacher, None)
    assert [fusion.attend is None for fusion in knowledge.fusions] == [False, True]
    with torch.no_grad():
        shallow, deep = knowledge.fusions
        predicted_deep, review = deep(student.features[1], None)
        predicted, _ = shallow(student.features[0], review)
        expected = hcl_loss(predicted, teacher.features[0], reduction="none")
        expected += hcl_loss(predicted_deep, teacher.features[1], reduction="none")
        torch.testing.assert_close(knowledge(student, teacher, batch()), expected)
        # Full attention on the review alone: the shallow stage itself has no say then.
        shallow.attend[0].weight.zero_()
        shallow.attend[0].bias.copy_(torch.tensor([-1e4, 1e4]))
        _, fused = shallow(student.features[0], review)
    torch.testing.assert_close(fused, review.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))


def test_reviewkd_grows_over_its_warm_up_and_no_further():
    student, teacher = output((8, 2, 2)), output((6, 2, 2), seed=1)
    knowledge = ReviewKD(stages=(-1,), warmup=0.5)
    knowledge.build(student, teacher, None)
    losses = [knowledge(student, teacher, batch(at)).mean().item() for at in (0.0, 0.25, 0.5, 0.9)]
    assert [one / losses[-1] for one in losses] == pytest.approx([0.05, 0.525, 1.0, 1.0])


def test_samples_may_come_in_any_order():
    order = torch.tensor([2, 0, 3, 1])
    for kind in (VID, ReviewKD):
        student, teacher = output((8, 4, 4), (6, 1, 1)), output((5, 4, 4), (7, 1, 1), seed=1)
        knowledge = kind(stages=(-2, -1))
        knowledge.build(student, teacher, None)
        one = knowledge(student, teacher, batch())
        other = knowledge(student.map(lambda x: x[order]), teacher.map(lambda x: x[order]), batch())
        torch.testing.assert_close(one[order], other)


# ofd


@pytest.mark.parametrize("name", ["test_resnet", "resnet18", "test_byobnet", "regnetx_002"])
def test_the_preactivation_is_what_the_activation_makes_the_stage_of(name):
    backbone, stages = network(name), (-4, -3, -2, -1)
    inplace = [getattr(module, "inplace", None) for module in backbone.modules()]
    probe = PreActivation(stages)
    image = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    plain = backbone(image, stages)
    probed = backbone(image, stages, False, (probe,))
    torch.testing.assert_close(probed.logits, plain.logits, rtol=0, atol=0)
    assert len(probed.extras[probe]) == 4
    for before, after in zip(probed.extras[probe], plain.features, strict=True):
        assert (before < 0).any()
        torch.testing.assert_close(before.relu(), after, rtol=0, atol=0)
    assert [getattr(module, "inplace", None) for module in backbone.modules()] == inplace


def test_a_linear_stage_is_its_own_preactivation():
    backbone = network("mobilenetv2_050")
    probe = PreActivation((-2, -1))
    probed = backbone(torch.rand(2, 1, 28, 28), (-2, -1), False, (probe,))
    for before, after in zip(probed.extras[probe], probed.features, strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_margins_are_those_of_the_last_batch_norm_on_the_main_path():
    backbone = network("test_resnet")
    probe = PreActivation((-2,), margins=True)
    feature, margin = backbone(torch.rand(3, 1, 28, 28), (), False, (probe,)).extras[probe]
    norm = backbone.model.layer3[-1].bn2
    if hasattr(backbone.model.layer3[-1], "bn3"):
        norm = backbone.model.layer3[-1].bn3
    assert margin.shape == feature.shape[:2]
    torch.testing.assert_close(margin, batch_norm_margin(norm.weight, norm.bias).expand(3, -1))


@pytest.mark.parametrize(("name", "size"), [("test_vit", 160), ("test_convnext", 64)])
def test_a_teacher_without_batch_norm_is_refused(name, size):
    with pytest.raises(KdzooError, match=r"no BatchNorm in its stage -2.*take a teacher"):
        network(name, size)(torch.rand(2, 1, size, size), (), False, (PreActivation((-2,), margins=True),))


@pytest.mark.parametrize(("name", "size"), [("test_vit", 160), ("swin_s3_tiny_224", 224)])
def test_tokens_are_no_maps(name, size):
    with torch.no_grad(), pytest.raises(KdzooError, match=r"no map \(B, \d+, H, W\); take a convolutional"):
        network(name, size)(torch.rand(1, 1, size, size), (), False, (PreActivation((-2,)),))


def test_stages_that_timm_does_not_name_are_refused():
    with pytest.raises(KdzooError, match=r"Linear has no module that computes its stage -1"):
        PreActivation((-1,)).attach(nn.Linear(2, 2), print)


def test_ofd_halves_the_weight_with_each_stage_up():
    knowledge = OFD(stages=(-3, -2, -1))
    ours, theirs = maps((8, 4, 4), (16, 2, 2), (6, 1, 1)), maps((5, 4, 4), (7, 2, 2), (9, 1, 1), seed=1)
    margins = [-torch.ones(4, feature.shape[1]) for feature in theirs]
    student = Output(torch.zeros(4, 3), extras={knowledge.read: ours})
    kept = tuple(one for pair in zip(theirs, margins, strict=True) for one in pair)
    teacher = Output(torch.zeros(4, 3), extras={knowledge.read_teacher: kept})
    knowledge.build(student, teacher, None)
    expected = sum(
        weight * ofd_loss(connector(one), other, margin[0], reduction="none")
        for weight, connector, one, other, margin in zip(
            (0.25, 0.5, 1.0), knowledge.connectors, ours, theirs, margins, strict=True
        )
    )
    loss = knowledge(student, teacher.detach(), batch())
    torch.testing.assert_close(loss, expected)
    loss.mean().backward()
    assert all(one.grad.abs().sum() > 0 for one in (*knowledge.parameters(), *ours))


# srrl


def built_srrl(teacher, student_width=6, **settings):
    teacher.requires_grad_(False)
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    answer = teacher(images, (), True)
    draw = torch.Generator().manual_seed(1)
    student = Output(
        torch.zeros(4, 10), embedding=torch.randn(4, student_width, generator=draw).requires_grad_()
    )
    knowledge = SRRL(**settings)
    knowledge.build(student, answer, Roles({"other": network("test_byobnet"), "teacher": teacher}))
    return knowledge, student, answer


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
def test_the_teachers_classifier_judges_and_does_not_learn(name):
    teacher = network(name, **({"img_size": 28, "patch_size": 7} if name == "test_vit" else {}))
    knowledge, student, answer = built_srrl(teacher, feature=2.0, regression=3.0)
    loss = knowledge(student, answer, batch())
    connected = knowledge.connector(student.embedding)
    expected = 2 * (connected - answer.embedding).square().mean(1)
    expected += 3 * regression_loss(teacher.classifier(connected), answer.logits, reduction="none")
    torch.testing.assert_close(loss, expected)
    loss.mean().backward()
    assert all(one.grad.abs().sum() > 0 for one in (*knowledge.parameters(), student.embedding))
    assert all(one.grad is None and not one.requires_grad for one in teacher.parameters())
    assert len(list(knowledge.parameters())) == 3
    assert isinstance(knowledge.connector[-1], nn.ReLU) == bool((answer.embedding >= 0).all())


def test_srrl_needs_a_frozen_teacher_with_a_classifier():
    teacher = network("test_resnet").requires_grad_(False)
    answer = teacher(torch.rand(4, 1, 28, 28), (), True)
    learning, distilled = network("test_resnet"), Output(answer.logits + 1, embedding=answer.embedding)
    for roles, shown in (({"peer": learning}, answer), ({"teacher": teacher}, distilled)):
        with pytest.raises(KdzooError, match=r"no frozen role.*'offline'"):
            SRRL().build(answer, shown, Roles(roles))


# simkd


PAIRS = [
    ("test_efficientnet", "test_resnet"),
    ("test_resnet", "test_efficientnet"),  # whose head has a convolution
    ("test_vit", "test_resnet"),
    ("test_byobnet", "mobilenetv3_small_050"),
]


def pair(student, teacher):
    settings = {"img_size": 28, "patch_size": 7}
    return (network(name, **(settings if name == "test_vit" else {})) for name in (student, teacher))


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
def test_the_borrowed_head_makes_the_teachers_logits_of_the_teachers_map(student, teacher):
    ours, theirs = pair(student, teacher)
    assembled = Borrowed(ours, theirs).eval()
    image = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    told = theirs(image, (-1,), True)
    torch.testing.assert_close(assembled.head.head(told.features[0]), told.logits)
    answer = assembled(image, (-2, -1), True)
    assert answer.features[1].shape[1] == told.features[0].shape[1]
    assert answer.embedding.shape == told.embedding.shape
    torch.testing.assert_close(assembled.head.head(answer.features[1]), answer.logits)
    torch.testing.assert_close(assembled(image).logits, answer.logits)
    assert [one.shape[1] for one in assembled(image, (-2,)).features] == [answer.features[0].shape[1]]


def test_only_the_head_is_borrowed_and_the_students_own_is_gone():
    ours, theirs = pair("test_efficientnet", "test_resnet")
    assembled = Borrowed(ours, theirs)
    assert sum(one.numel() for one in assembled.head.parameters()) == 96 * 10 + 10
    assert {name.split(".")[1] for name, _ in ours.named_parameters()} == {"conv_stem", "bn1", "blocks"}
    assert sum(one.numel() for one in theirs.parameters()) > 300_000  # the teacher itself is whole


@pytest.mark.parametrize(("student", "teacher"), PAIRS[:3])
def test_all_but_the_head_learns_from_the_map_alone(student, teacher):
    ours, theirs = pair(student, teacher)
    assembled = Borrowed(ours, theirs)
    assembled.requires_grad_(True).train()
    image = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        told = theirs(image, (-1,))
    answer = assembled(image, (-1,))
    SimKD().forward(answer, told, batch()).mean().backward()
    learned = {name for name, one in assembled.named_parameters() if one.grad is not None}
    wanted = {name for name, _ in assembled.named_parameters() if not name.startswith("head.")}
    assert wanted - learned <= {
        "backbone.model.norm.weight",
        "backbone.model.norm.bias",
    }  # of the transformer
    assert learned <= wanted
    assert not assembled.head.training
    assert all(not module.training for module in assembled.head.modules())


def test_a_projected_map_has_the_signs_that_the_teachers_has():
    rectified = Borrowed(*pair("test_efficientnet", "test_resnet")).project
    linear = Borrowed(*pair("test_byobnet", "mobilenetv2_050")).project
    assert [isinstance(one[-1], nn.ReLU) for one in (rectified, linear)] == [True, False]


def test_a_larger_map_is_pooled_to_the_teachers():
    ours, theirs = pair("test_vit", "test_resnet")  # 4x4 and 1x1
    answer = Borrowed(ours, theirs).eval()(torch.rand(2, 1, 28, 28), (-1,))
    assert answer.features[0].shape == (2, 96, 1, 1)


def test_the_assembled_student_is_exported_whole():
    assembled = Borrowed(*pair("test_efficientnet", "test_resnet")).eval()

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = assembled

        def forward(self, image):
            return self.network(image).logits

    image = torch.rand(2, 1, 28, 28)
    program = torch.export.export(Logits(), (image,))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    with torch.no_grad():
        again = torch.export.load(file).module()(image)
        torch.testing.assert_close(again, assembled(image).logits)


def test_a_transformers_classifier_is_not_borrowed():
    ours, theirs = pair("test_efficientnet", "test_vit")
    with pytest.raises(KdzooError, match=r"cannot be borrowed; take a convolutional network"):
        Borrowed(ours, theirs)


def test_simkd_compares_maps_of_the_same_channels():
    student, teacher = output((8, 4, 4)), output((8, 2, 2), seed=1)
    knowledge = SimKD()
    knowledge.build(student, teacher, None)
    pooled = torch.nn.functional.adaptive_avg_pool2d(student.features[0], 2)
    expected = (pooled - teacher.features[0]).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(knowledge(student, teacher, batch()), expected)
    with pytest.raises(KdzooError, match=r"not 8 and 9: use it with algorithm 'simkd'"):
        knowledge.build(student, output((9, 4, 4)), None)


def test_a_scheme_without_a_frozen_teacher_is_refused():
    run = Roles({"student": network("test_resnet"), "peer1": network("test_resnet")})
    run.students = ("student", "peer1")
    with pytest.raises(KdzooError, match="use scheme 'offline'"):
        next(ReusedClassifier().phases(run))
