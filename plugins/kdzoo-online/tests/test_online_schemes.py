"""The schemes in a run on a few digits: enrolled roles, arrows, trained roles."""

import pytest
import timm
import torch

from kdzoo.api import Backbone, Batch, KdzooError, Output
from kdzoo.cli.flags import layer
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.watch import KeepRun
from kdzoo.zoo import Zoo
from kdzoo_online.branch import Branch
from kdzoo_online.functional import (
    gated_logits,
    mean_logits,
    minimum_logits,
)

SMALL = {"epochs": 1, "batch_size": 16, "train_per_class": 5, "test_per_class": 2, "student": "test_byobnet"}


class KeepStart(KeepRun):
    """Keeps the run, and what its roles weigh before anything is trained."""

    def run_began(self, run):
        super().run_began(run)
        self.before = {name: start(one) for name, one in run.roles.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """trained("kdcl", **settings) -> the run after an epoch on a few digits, and its result."""
    zoo = Zoo()

    def run(method, **settings):
        quiet = {"observers": [], "checkpoint_seconds": 1e9, **settings}
        layers = [*layer(**SMALL), Layer("test", dotted(quiet))]
        recipe = resolve(zoo=zoo, registry=load_registry(zoo), method=method, layers=layers)
        keep = KeepStart()
        result = train(recipe, tmp_path_factory.mktemp("run") / "run", zoo=zoo, listeners=[keep])
        return keep.run, keep.before, result

    return run


def start(module):
    return {name: one.detach().clone() for name, one in module.named_parameters()}


def moved(run, before, role):
    """Whether every parameter of the role has learned."""
    return all(not torch.equal(one, before[role][name]) for name, one in run.roles[role].named_parameters())


def few(run):
    return next(iter(run.data.test))


def test_collaborative_peers_are_taught_by_their_ensemble(trained):
    run, before, result = trained("kdcl", **{"scheme.peers": 3})
    assert run.students == ("student", "peer1", "peer2")
    assert all(moved(run, before, role) for role in run.students)
    assert {"test/last", "test/peer1", "test/peer2"} <= set(result)
    batch = few(run)
    assert [(one.student, one.teacher, one.weight) for one in run.scheme.lessons(run, batch)] == [
        (role, "ensemble", 1.0) for role in run.students
    ]
    with run.measuring():
        logits = [run.see(role, batch).logits for role in run.students]
        torch.testing.assert_close(run.see("ensemble", batch).logits, minimum_logits(logits, batch.target))
        unlabelled = Batch(batch.index, batch.inputs)
        torch.testing.assert_close(run.see("ensemble", unlabelled).logits, mean_logits(logits))


def test_the_ensemble_can_see_another_view_for_each_peer(trained):
    run, _, _ = trained("kdcl", **{"scheme.views": True, "scheme.ensemble": "mean"})
    batch = run.data.fetch(next(iter(run.data.train)).index)
    with run.measuring():
        other = run.data.fetch(batch.index, view=1)
        assert not torch.equal(other.inputs["image"], batch.inputs["image"])
        logits = [run.see("student", batch).logits, run.see("peer1", other).logits]
        torch.testing.assert_close(run.see("ensemble", batch).logits, mean_logits(logits))


def test_blended_images_have_no_class_id_and_no_second_view(trained):
    with pytest.raises(KdzooError, match=r"scheme\.ensemble=mean"):
        trained("kdcl", **{"data.augment.mixup": 0.5})


def test_branches_share_the_trunk_and_learn_from_the_gated_ensemble(trained):
    run, before, result = trained("one", **{"scheme.branches": 3})
    assert run.students == ("student", "branch1", "branch2", "ensemble")
    assert {"test/branch1", "test/branch2", "test/ensemble"} <= set(result)
    assert all(moved(run, before, role) for role in run.students)
    assert isinstance(run.roles["student"], Backbone)
    batch = few(run)
    for progress, weight in ((0.0, 0.0), (0.1, 0.1419), (0.5, 1.0)):
        lessons = run.scheme.lessons(run, Batch(batch.index, batch.inputs, batch.target, progress))
        assert {(one.student, one.teacher) for one in lessons} == {
            (role, "ensemble") for role in ("student", "branch1", "branch2")
        }
        assert all(one.weight == pytest.approx(weight, abs=1e-3) for one in lessons)
    with run.measuring():
        run.tap("student", -1)  # somebody else asks for more
        logits = [run.see(role, batch).logits for role in run.students[:-1]]
        stage = run.see("student", batch).features[0]
        assert stage.shape[1] == run.roles["student"].model.feature_info[-2]["num_chs"]
        gate = run.roles["ensemble"].weights(stage)
        torch.testing.assert_close(gate.sum(dim=1), torch.ones(len(batch)))
        assert gate.std() > 0
        torch.testing.assert_close(run.see("ensemble", batch).logits, gated_logits(logits, gate))
    loss = run.task("branch1", batch)
    stem = next(run.roles["student"].parameters())
    assert torch.autograd.grad(loss, stem)[0].abs().sum() > 0, "a branch teaches the trunk"


def test_branches_begin_unlike_each_other_and_as_the_seed_says(trained):
    _, first, _ = trained("one")
    _, again, _ = trained("one")
    weights = [
        [one.flatten() for name, one in first[role].items() if name.endswith(("fc.weight",))]
        for role in ("student", "branch1", "branch2")
    ]
    assert all(len(one) == 1 for one in weights)
    assert not torch.equal(weights[0][0], weights[1][0])
    assert not torch.equal(weights[1][0], weights[2][0])
    for role in first:
        assert all(torch.equal(one, again[role][name]) for name, one in first[role].items())


MODELS = [("test_resnet", -2), ("test_resnet", -3), ("test_efficientnet", -5), ("test_byobnet", -2),
          ("lcnet_035", -2), ("test_convnext", -2), ("resnet10t", -2), ("regnetx_002", -3)]  # fmt: skip


@pytest.mark.parametrize(("model", "stage"), MODELS)
def test_a_branch_continues_where_the_trunk_ends(model, stage):
    torch.manual_seed(0)
    network = Backbone(timm.create_model(model, num_classes=5), input_size=(32, 32)).double().eval()
    count = sum(one.numel() for one in network.parameters())
    with torch.no_grad():
        whole = network(torch.rand(3, 3, 32, 32).double(), (stage,))
        apart = whole.logits.std(dim=0).max().item()  # a fresh lcnet answers nearly the same to everything
        assert apart > 1e-12
        branch = Branch(network, stage)
        own = branch(Output(whole.logits, whole.features)).logits
    torch.testing.assert_close(own, whole.logits, atol=1e-5 * apart, rtol=0)
    assert 0 < sum(one.numel() for one in branch.parameters()) < count


def test_a_network_that_cannot_be_cut_is_refused():
    vit = Backbone(timm.create_model("test_vit", num_classes=5), input_size=(160, 160))
    with pytest.raises(
        KdzooError, match="'test_vit': its logits do not follow from the map of stage -2 alone"
    ):
        Branch(vit, -2)
    resnet = Backbone(timm.create_model("test_resnet", num_classes=5), input_size=(32, 32))
    with pytest.raises(KdzooError, match=r"'test_resnet' has 5 stages .* stage -6 need 6"):
        Branch(resnet, -6)


def test_a_branch_of_another_architecture_is_refused(trained):
    with pytest.raises(KdzooError, match="'branch1' is 'test_resnet' and the student 'test_byobnet'"):
        trained("one", **{"roles.branch1.model": "test_resnet"})


def test_each_peer_has_its_own_target_and_the_leader_their_mean(trained):
    run, before, result = trained("okddip", **{"scheme.ramp": 0.0})
    peers = ("peer1", "peer2", "peer3")
    assert run.students == ("student", *peers)
    assert all(moved(run, before, role) for role in (*run.students, "attention"))
    assert {f"test/{role}" for role in peers} <= set(result)
    batch = few(run)
    arrows = {(one.student, one.teacher): one.weight for one in run.scheme.lessons(run, batch)}
    assert arrows == {
        ("student", "group"): 1.0, ("peer1", "target1"): 1.0, ("peer2", "target2"): 1.0, ("peer3", "target3"): 1.0
    }  # fmt: skip
    with run.measuring():
        seen = [run.see(role, batch) for role in peers]
        attention = run.roles["attention"]
        h = torch.stack([one.embedding for one in seen], dim=1)
        weights = (attention.query(h) @ attention.key(h).transpose(1, 2)).softmax(dim=2)
        p = torch.stack([(one.logits / 3).softmax(dim=1) for one in seen], dim=1)
        for number in range(3):
            target = (run.see(f"target{number + 1}", batch).logits / 3).softmax(dim=1)
            torch.testing.assert_close(target, (weights[:, number, :, None] * p).sum(dim=1))
        torch.testing.assert_close((run.see("group", batch).logits / 3).softmax(dim=1), p.mean(dim=1))


def test_the_leaders_target_is_a_constant_and_a_peers_target_trains_the_attention(trained):
    run, _, _ = trained("okddip")
    batch = few(run)
    assert not run.see("group", batch).logits.requires_grad
    target = run.see("target2", batch).logits
    gradients = torch.autograd.grad(target.square().sum(), list(run.roles["attention"].parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    classifiers = [run.roles[role].classifier.weight for role in ("peer1", "peer2", "peer3")]
    target = run.see("target2", batch).logits
    assert torch.autograd.grad(target.sum(), classifiers, allow_unused=True) == (None, None, None)


def test_the_attention_is_left_alone_by_an_algorithm_that_trains_students_only(trained):
    run, before, _ = trained("okddip", **{"algorithm": "distill"})
    assert not moved(run, before, "attention")


def test_peers_with_embeddings_of_unlike_lengths_are_refused(trained):
    with pytest.raises(KdzooError, match=r"have the lengths .* --method kdcl"):
        trained("okddip", **{"roles.peer2.model": "test_resnet"})


@pytest.mark.parametrize(
    ("method", "role"), [("kdcl", "ensemble"), ("one", "ensemble"), ("okddip", "target1")]
)
def test_an_ensemble_has_no_maps_to_teach(trained, method, role):
    with pytest.raises(KdzooError, match=f"the role '{role}' of scheme .* choose a knowledge on logits"):
        trained(method, **{"knowledge": {"name": "fitnet"}})


def test_other_knowledge_on_logits_is_taught_by_ensembles(trained):
    run, before, _ = trained("one", **{"knowledge": {"name": "dkd"}})
    assert all(moved(run, before, role) for role in run.students)
