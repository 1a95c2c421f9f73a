"""Models that plugins register with timm."""

import sys

import pytest
import timm
import torch

from kdzoo.backbone import build_backbone
from kdzoo.backbone.registered import provider, registered
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.recipe.roles import RoleConfig
from kdzoo.zoo import Zoo

HOOK = "from kdzoo.api import hookimpl\n\n@hookimpl\ndef kdzoo_backbones():\n    return {modules!r}\n"
NETWORKS = """
from timm.models import build_model_with_cfg, register_model
from timm.models.resnet import BasicBlock, ResNet


@register_model
def {name}(pretrained=False, **keywords):
    narrow = dict(block=BasicBlock, layers=[1, 1, 1, 1], channels=[8, 8, 8, 8], stem_width=4)
    return build_model_with_cfg(ResNet, "{name}", pretrained, **narrow, **keywords)
"""


@pytest.fixture
def plugin(install, tmp_path):
    """plugin("kdzoo-x", module="source") -> a distribution that names these modules, which lie beside it."""
    made = []

    def make(distribution, **modules):
        install(distribution, HOOK.format(modules=list(modules)))
        for module, source in modules.items():
            made.append(module)
            (tmp_path / f"{module}.py").write_text(source)

    yield make
    for module in made:
        sys.modules.pop(module, None)


def built(model):
    return build_backbone(RoleConfig(model=model), num_classes=3, channels=1, img_size=32)


def brokenness(zoo):
    return {one.distribution: one.broken for one in zoo.plugins if one.broken}


def test_a_model_of_a_plugin_is_found_when_timm_does_not_know_it(plugin):
    plugin("kdzoo-tiny", tiny_networks=NETWORKS.format(name="tiny_net_a"))
    built("test_resnet")
    assert "tiny_networks" not in sys.modules  # a model of timm's needs no plugin
    assert provider("test_resnet", Zoo()) is None
    network = built("tiny_net_a")
    assert network(torch.zeros(2, 1, 32, 32)).logits.shape == (2, 3)
    owner = provider("tiny_net_a", Zoo())
    assert (owner.distribution, owner.version) == ("kdzoo-tiny", "1.2.3")
    assert registered(Zoo())["tiny_net_a"].distribution == "kdzoo-tiny"


def test_a_model_without_timm_s_attributes_is_refused(plugin):
    source = """
from timm.models import register_model
from torch import nn


@register_model
def tiny_net_bare(pretrained=False, **keywords):
    return nn.Flatten()
"""
    plugin("kdzoo-tiny", bare_networks=source)
    says = "model 'tiny_net_bare' has no pretrained_cfg and no num_classes, .*: build it with timm.models.build_model"
    with pytest.raises(KdzooError, match=says):
        built("tiny_net_bare")


def test_one_that_does_not_import_is_named_where_a_model_is_missed(plugin):
    plugin("kdzoo-tiny", lame_networks="import nothing_of_this_name")
    with pytest.raises(
        UnknownName, match=r"unknown timm model 'tiny_net_b'.*kdzoo-tiny \(backbones of lame_net"
    ):
        built("tiny_net_b")


def test_the_others_are_found_beside_one_that_exits(plugin):
    plugin("kdzoo-lame", exiting_networks="raise SystemExit(3)")
    plugin("kdzoo-tiny", well_networks=NETWORKS.format(name="tiny_net_c"))
    built("tiny_net_c")
    zoo = Zoo()
    registered(zoo)
    assert brokenness(zoo) == {"kdzoo-lame": "backbones of exiting_networks: SystemExit: 3"}


def test_strict_mode_raises(plugin, monkeypatch):
    monkeypatch.setenv("KDZOO_STRICT_PLUGINS", "1")
    plugin("kdzoo-tiny", strict_networks="import nothing_of_this_name")
    with pytest.raises(ModuleNotFoundError):
        built("tiny_net_d")


def test_a_disabled_plugin_is_not_imported(plugin, monkeypatch):
    monkeypatch.setenv("KDZOO_DISABLE_PLUGINS", "kdzoo-tiny")
    plugin("kdzoo-tiny", off_networks=NETWORKS.format(name="tiny_net_e"))
    with pytest.raises(UnknownName, match=r"kdzoo-tiny \(disabled\)"):
        built("tiny_net_e")
    assert "off_networks" not in sys.modules


def test_a_name_of_timm_s_stays_timm_s(plugin):
    own = timm.models.model_entrypoint("resnet18")
    weights = timm.get_pretrained_cfg("resnet18")
    plugin("kdzoo-tiny", taking_networks=NETWORKS.format(name="resnet18"))
    zoo = Zoo()
    assert "resnet18" not in registered(zoo)
    assert brokenness(zoo) == {
        "kdzoo-tiny": "backbones of taking_networks: timm has a model 'resnet18'; give yours another name"
    }
    assert timm.models.model_entrypoint("resnet18") is own
    assert timm.get_pretrained_cfg("resnet18") == weights


def test_of_two_plugins_the_first_keeps_the_name(plugin):
    plugin("kdzoo-a", first_networks=NETWORKS.format(name="tiny_net_f"))
    plugin("kdzoo-b", second_networks=NETWORKS.format(name="tiny_net_f"))
    zoo = Zoo()
    assert registered(zoo)["tiny_net_f"].distribution == "kdzoo-a"
    assert list(brokenness(zoo)) == ["kdzoo-b"]
