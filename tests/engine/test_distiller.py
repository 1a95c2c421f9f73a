import copy as copy_module
import io

import pytest
import timm
import torch
from torch.nn import functional

import kdzoo
from kdzoo.errors import KdzooError


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return timm.create_model("test_efficientnet", num_classes=4), timm.create_model(
        "test_resnet", num_classes=4
    )


def images() -> torch.Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_its_losses_are_those_of_the_formula(networks):
    student, teacher = networks
    distiller = kdzoo.Distiller(student, teacher, method="kd", settings={"knowledge.temperature": 2.0})
    target = torch.arange(8) % 4
    student.eval()
    losses = distiller(images(), target)
    s, t = student(images()), teacher(images()).detach()
    task = functional.cross_entropy(s, target)
    teach = functional.kl_div((s / 2).log_softmax(1), (t / 2).softmax(1), reduction="batchmean") * 4
    torch.testing.assert_close(losses["task"], task)
    torch.testing.assert_close(losses["teach"], teach)
    torch.testing.assert_close(losses["total"], 0.1 * task + 0.9 * teach)


def test_its_parameters_are_the_students_and_the_connectors(networks):
    student, teacher = networks
    distiller = kdzoo.Distiller(student, teacher, method="fitnet", example=images())
    own = {id(one) for one in distiller.parameters()}
    connectors = list(distiller.connectors.parameters())
    assert connectors
    assert own == {id(one) for one in [*student.parameters(), *connectors]}
    assert not own & {id(one) for one in teacher.parameters()}


def test_a_loop_around_it_teaches(networks):
    student, teacher = networks
    distiller = kdzoo.Distiller(student, teacher, method="kd", example=images())
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=3e-3)
    student.train()
    seen = []
    for _ in range(15):
        losses = distiller(images())
        optimizer.zero_grad()
        losses["teach"].backward()
        optimizer.step()
        seen.append(float(losses["teach"].detach()))
    assert seen[-1] < seen[0] / 2
    assert not teacher.training
    assert student.training


def test_the_users_frozen_layers_stay_frozen(networks):
    student, teacher = networks
    student.conv_stem.weight.requires_grad_(False)
    kdzoo.Distiller(student, teacher, method="kd")
    assert not student.conv_stem.weight.requires_grad
    assert student.classifier.weight.requires_grad


def test_what_it_cannot_do_is_refused(networks):
    student, teacher = networks
    with pytest.raises(KdzooError, match=r"'born-again' has a phase for each.*; run it with kdzoo distill"):
        kdzoo.Distiller(student, teacher, method="ban")
    with pytest.raises(KdzooError, match=r"'dml' has the role 'peer1': give it a network by networks="):
        kdzoo.Distiller(student, None, method="dml")
    with pytest.raises(KdzooError, match=r"'dml' has no role 'teacher'; its roles are student, peer1"):
        kdzoo.Distiller(student, teacher, method="dml", networks={"peer1": copy_module.deepcopy(student)})
    with pytest.raises(KdzooError, match=r"'avg' has the role 'teacher1': .* a list of teachers"):
        kdzoo.Distiller(student, teacher, method="avg")
    with pytest.raises(KdzooError, match=r"unknown role 'teacher3' of scheme 'average' .*teacher2"):
        kdzoo.Distiller(student, [teacher] * 3, method="avg")
    with pytest.raises(KdzooError, match=r"'kd' needs? .*teacher|has the role 'teacher'"):
        kdzoo.Distiller(student, None, method="kd")
    with pytest.raises(KdzooError, match=r"labels of the training set: give data=kdzoo\.TrainingSet"):
        kdzoo.Distiller(student, teacher, method="crd")
    with pytest.raises(KdzooError, match="4 classes, the teacher has 5"):
        kdzoo.Distiller(student, timm.create_model("test_resnet", num_classes=5), method="kd")
    with pytest.raises(KdzooError, match="unknown method 'dkdd'"):
        kdzoo.Distiller(student, teacher, method="dkdd")


@pytest.mark.parametrize("method", ["kd", "fitnet", "rkd"])
def test_the_teacher_follows_a_change_of_type(networks, method):
    student, teacher = networks
    distiller = kdzoo.Distiller(student, teacher, method=method, example=images())
    student.eval()
    before = distiller(images(), torch.arange(8) % 4)["total"]
    distiller.double()
    assert next(teacher.parameters()).dtype == torch.float64
    losses = distiller(images().double(), torch.arange(8) % 4)
    assert losses["logits"].dtype == torch.float64
    torch.testing.assert_close(losses["total"].float(), before)
    distiller.float()
    torch.testing.assert_close(distiller(images(), torch.arange(8) % 4)["total"], before)


@pytest.mark.parametrize("method", ["kd", "fitnet"])
def test_a_copy_stands_alone_and_gives_the_same_losses(networks, method):
    student, teacher = networks
    distiller = kdzoo.Distiller(student, teacher, method=method, example=images()).double()
    for one in distiller.connectors.parameters():
        one.data += 0.01
    student.train()
    next(student.parameters()).requires_grad_(False)
    copy = copy_module.deepcopy(distiller)
    assert copy.student is not student
    assert copy.student.training
    assert not copy.connectors.training or distiller.connectors.training
    assert [one.requires_grad for one in copy.parameters()] == [
        one.requires_grad for one in distiller.parameters()
    ]
    assert not {id(one) for one in copy.parameters()} & {id(one) for one in distiller.parameters()}
    student.eval()
    copy.student.eval()
    losses = distiller(images().double())
    torch.testing.assert_close(copy(images().double())["total"], losses["total"])
    losses["total"].backward()
    assert all(one.grad is None for one in copy.parameters())


def test_a_network_without_an_example_is_refused_in_one_line(networks):
    student, _ = networks
    mine = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    for pair in ((student, mine), (mine, student)):
        with pytest.raises(
            KdzooError, match=r"Sequential is not a timm model: pass example=images, or kdzoo\.wrap"
        ):
            kdzoo.Distiller(*pair, method="kd")


def test_a_network_with_two_answers_is_refused_in_one_line(networks):
    _, teacher = networks
    student = timm.create_model("deit_tiny_distilled_patch16_224", img_size=32, num_classes=4)
    distiller = kdzoo.Distiller(student, teacher, method="kd", example=images())
    student.train()
    student.set_distilled_training(True)
    with pytest.raises(KdzooError, match="answers with a tuple of 2 where logits are needed"):
        distiller(images())


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (torch.eye(4)[torch.arange(8) % 4] + torch.eye(4)[0], "rows that do not sum to 1, as several labels"),
        (torch.rand(8), r"float32 of shape \(8,\)"),
        (torch.eye(4, dtype=torch.int64).repeat(2, 1), r"int64 of shape \(8, 4\)"),
        (torch.zeros(8, 1), "rows that do not sum to 1"),
    ],
)
def test_targets_of_another_kind_are_refused(networks, target, why):
    distiller = kdzoo.Distiller(*networks, method="kd", example=images())
    with pytest.raises(KdzooError, match=f"one label for each image; not {why}"):
        distiller(images(), target)
    assert distiller(images(), torch.eye(4)[torch.arange(8) % 4])["task"] > 0


def test_one_output_is_refused():
    torch.manual_seed(0)
    networks = [timm.create_model("test_resnet", num_classes=1) for _ in range(2)]
    with pytest.raises(KdzooError, match="one output has no classes"):
        kdzoo.Distiller(*networks, method="kd")


def test_a_teacher_without_a_classifier_teaches_its_features(networks):
    student, _ = networks
    teacher = timm.create_model("test_vit", num_classes=0)
    distiller = kdzoo.Distiller(student, teacher, method="rkd", example=torch.zeros(2, 3, 160, 160))
    losses = distiller(torch.rand(4, 3, 160, 160), torch.arange(4))
    assert losses["teach"] > 0
    assert losses["task"] > 0
    headless = timm.create_model("test_efficientnet", num_classes=0)
    distiller = kdzoo.Distiller(headless, teacher, method="rkd", example=torch.zeros(2, 3, 160, 160))
    losses = distiller(torch.rand(4, 3, 160, 160))
    assert losses["embedding"].shape == (4, headless.num_features)
    with pytest.raises(KdzooError, match="the student has no classifier"):
        distiller(torch.rand(4, 3, 160, 160), torch.arange(4))
    with pytest.raises(KdzooError, match=r"the teacher has no classifier"):
        kdzoo.Distiller(student, teacher, method="kd", example=torch.zeros(2, 3, 160, 160))(
            torch.rand(4, 3, 160, 160)
        )


def test_peers_learn_from_each_other(networks):
    student, peer = networks
    distiller = kdzoo.Distiller(student, None, "dml", networks={"peer1": peer}, example=images()).train()
    assert {id(one) for one in peer.parameters()} <= {id(one) for one in distiller.parameters()}
    losses = distiller(images(), torch.arange(8) % 4)
    s, p = student(images()), peer(images())
    assert losses["logits"].shape == s.shape
    losses["total"].backward()
    assert all(one.grad is not None for network in networks for one in network.parameters())
    assert list(distiller.others) == ["peer1"]
    assert p.requires_grad


def test_a_moving_average_follows_once_for_each_step_of_the_optimizer(networks):
    student, _ = networks
    settings = {"scheme.decay": 0.5, "optim.grad_accum_steps": 2}
    distiller = kdzoo.Distiller(student, None, "ema", example=images(), settings=settings).train()
    average = {key: one.clone() for key, one in student.state_dict().items()}

    def follower():
        extra = io.BytesIO(distiller.state_dict()["_extra_state"].numpy().tobytes())
        return torch.load(extra, weights_only=True)["followers"]["ema"]

    for _ in range(2):
        distiller(images(), torch.arange(8) % 4, views=[images()])
        assert distiller._run[0]._steps
    with torch.no_grad():
        student.classifier.weight += 1.0
    found = follower()["model.classifier.weight"]
    assert torch.equal(found, 0.5 * average["classifier.weight"] + 0.5 * student.classifier.weight)
    assert torch.equal(follower()["model.classifier.weight"], found)
    distiller.eval()(images(), torch.arange(8) % 4, views=[images()])
    assert torch.equal(follower()["model.classifier.weight"], found)


def test_a_state_of_another_method_is_refused(networks):
    student, teacher = networks
    distiller = kdzoo.Distiller(student, None, "ema", example=images())
    state = kdzoo.Distiller(copy_module.deepcopy(student), teacher, "kd").state_dict()
    with pytest.raises(KdzooError, match="the state is not that of method 'ema': KeyError: 'ema'"):
        distiller.load_state_dict(state)
    state["_extra_state"] = state["_extra_state"][:100]
    with pytest.raises(KdzooError, match="the state of the Distiller cannot be read"):
        distiller.load_state_dict(state)


def test_what_a_method_needs_beyond_the_batch_is_said(networks):
    student, teacher = networks
    target = torch.arange(8) % 4
    distiller = kdzoo.Distiller(student, None, "ema", example=images())
    with pytest.raises(KdzooError, match=r"with another augmentation: pass views="):
        distiller(images(), target, 0.5)
    labels = torch.arange(20) % 4
    distiller = kdzoo.Distiller(student, teacher, "crd", example=images(), data=kdzoo.TrainingSet(labels))
    with pytest.raises(KdzooError, match="pass index="):
        distiller(images(), target)
    with pytest.raises(KdzooError, match="rows outside the training set of 20 images"):
        distiller(images(), target, index=torch.arange(8) + 13)
    with pytest.raises(KdzooError, match=r"int64 tensor \(8,\).*not float32 of shape \(8,\)"):
        distiller(images(), target, index=torch.zeros(8))
    assert distiller(images(), target, index=torch.arange(8))["teach"] >= 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"labels": [1, 2]}, r"int64 tensor \(N,\) of class ids; not list"),
        ({"labels": torch.zeros(3)}, r"not float32 of shape \(3,\)"),
        ({"labels": torch.zeros(3, dtype=torch.int64), "names": ["a"]}, "3 labels and 1 names"),
    ],
)
def test_a_training_set_of_another_form_is_refused(arguments, says):
    with pytest.raises(KdzooError, match=says):
        kdzoo.TrainingSet(**arguments)


def test_fetched_images_are_those_of_the_rows(networks):
    student, _ = networks
    asked = []

    def fetch(index):
        asked.append(index.tolist())
        return images()[: len(index)]

    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    distiller = kdzoo.Distiller(
        student, None, "cs-kd", example=images(), data=kdzoo.TrainingSet(labels, fetch)
    ).train()
    losses = distiller(images(), labels, index=torch.arange(8))
    assert len(asked) == 1
    assert [labels[row].item() for row in asked[0]] == labels.tolist()
    assert losses["teach"].requires_grad
