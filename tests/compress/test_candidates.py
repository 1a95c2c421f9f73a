"""Candidates are counted and spread over the sizes; nothing is fetched for that."""

from __future__ import annotations

import timm

from kdzoo.compress.available import obtainable
from kdzoo.compress.candidates import FAMILIES, Candidate, counted, parameters_of, spread


def test_the_largest_first_and_evenly_over_the_order() -> None:
    found = [Candidate(name, size) for name, size in (("a", 1), ("d", 40), ("b", 2), ("c", 3))]
    assert [one.model for one in spread(found, 1)] == ["d"]
    assert [one.model for one in spread(found, 2)] == ["d", "b"]
    assert [one.model for one in spread(found, 9)] == ["d", "c", "b", "a"]


def test_networks_are_counted_without_memory_for_them() -> None:
    found = {one.model: one.parameters for one in counted(7)}
    for name in ("lcnet_035", "test_efficientnet"):
        assert found[name] == parameters_of(timm.create_model(name, num_classes=7))


def test_every_family_is_known_to_timm() -> None:
    assert not [family for family in FAMILIES if not timm.list_models(family)]


def test_offline_nothing_can_be_had_that_is_not_here() -> None:
    assert not obtainable("resnet18.a1_in1k")
    assert not obtainable("test_vit3_without_weights")
    assert not obtainable("local-dir:somewhere")
