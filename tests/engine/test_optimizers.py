"""The groups of an optimizer's parameters, and the rates of layers."""

import pytest
import timm
import torch
from timm.optim import create_optimizer_v2
from torch import nn

from kdzoo.api.network import Backbone
from kdzoo.engine.role import Role, make_optimizer
from kdzoo.recipe.optim import OptimConfig


def groups(optimizer, fields=("weight_decay", "lr_scale")):
    return [
        (*(group.get(name) for name in fields), [tuple(one.shape) for one in group["params"]])
        for group in optimizer.param_groups
    ]


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_layer_decay_has_timms_groups(name):
    model = timm.create_model(name, num_classes=4)
    theirs = create_optimizer_v2(model, opt="adamw", lr=0.01, weight_decay=0.05, layer_decay=0.5)
    ours = make_optimizer(Backbone(model, input_size=(160, 160)), OptimConfig(lr=0.01, layer_decay=0.5))
    assert groups(ours) == groups(theirs)
    assert len({group["lr_scale"] for group in ours.param_groups}) > 2


@pytest.mark.parametrize("sched", ["cosine", "none"])
def test_the_rates_of_layers_follow_the_schedule_and_other_modules_have_the_whole(sched):
    both = nn.ModuleDict(
        {
            "network": Backbone(timm.create_model("test_resnet"), input_size=(160, 160)),
            "connector": nn.Linear(3, 3),
        }
    )
    config = OptimConfig(lr=0.01, layer_decay=0.5, warmup_epochs=0, sched=sched)
    role = Role("student", both, config)
    role.start_phase(2, 10)
    role.at_step(5)
    plain = Role("other", nn.Linear(3, 3), config.model_copy(update={"layer_decay": None}))
    plain.start_phase(2, 10)
    plain.at_step(5)
    assert role.lr == pytest.approx(plain.lr)
    for group in role.optimizer.param_groups:
        assert group["lr"] == pytest.approx(plain.lr * group.get("lr_scale", 1.0))
    connector = {id(one) for one in both["connector"].parameters()}
    whole = [group for group in role.optimizer.param_groups if id(group["params"][0]) in connector]
    assert [group["weight_decay"] for group in whole] == [0.05, 0.0]
    assert {group["lr"] for group in whole} == {plain.lr}
    assert sum(len(group["params"]) for group in role.optimizer.param_groups) == len(list(both.parameters()))


@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_every_parameter_decays_where_nothing_is_filtered(layer_decay):
    network = Backbone(timm.create_model("test_resnet"), input_size=(160, 160))
    for filters in (True, False):
        config = OptimConfig(filter_bias_and_bn=filters, layer_decay=layer_decay)
        decays = {group["weight_decay"] for group in make_optimizer(network, config).param_groups}
        assert decays == ({0.0, 0.05} if filters else {0.05})


def test_the_protocol_of_crd_can_be_set():
    """SGD without Nesterov's momentum, decay of every parameter, steps at epochs, no warm-up."""
    config = OptimConfig(
        opt="momentum", lr=0.05, weight_decay=5e-4, filter_bias_and_bn=False, sched="multistep",
        decay_epochs=(150, 180, 210), warmup_epochs=0,
    )  # fmt: skip
    role = Role("student", nn.Linear(2, 2), config)
    role.start_phase(240, 391)
    assert isinstance(role.optimizer, torch.optim.SGD)
    (group,) = role.optimizer.param_groups
    assert (group["nesterov"], group["momentum"], group["weight_decay"]) == (False, 0.9, 5e-4)
    for epoch, rate in ((0, 0.05), (149, 0.05), (150, 0.005), (180, 5e-4), (239, 5e-5)):
        role.at_step(epoch * 391)
        assert role.lr == pytest.approx(rate), epoch
