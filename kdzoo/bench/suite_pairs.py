"""The pairs of networks that a suite compares methods on."""

from __future__ import annotations

from collections.abc import Sequence

from kdzoo.recipe.layers import Layer, models_of
from kdzoo.registry.model import Pair, Suite


def named_pairs(suite: Suite, layers: Sequence[Layer]) -> dict[str, Pair]:
    """The suite's pairs by unique names; one whose networks the layers change is named by these."""
    named: dict[str, Pair] = {}
    changed = models_of(layers)
    for pair in suite.pairs:
        usual = {"teacher": pair.teacher.model, "student": pair.student.model}
        models = [changed.get(role, model) for role, model in usual.items()]
        own = models == list(usual.values())
        name = pair.name if pair.name and own else ">".join(models)
        alike = sum(one.split(" (")[0] == name for one in named)
        named[f"{name} ({alike + 1})" if alike else name] = pair
    return named
