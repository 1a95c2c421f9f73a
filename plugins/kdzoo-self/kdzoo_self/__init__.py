"""Self-distillation: a network learns from its deeper layers, its past, its average, or a hand-made teacher."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """The losses of exits, and of consistency with an average."""
    return {
        "byot": "kdzoo_self.byot:Byot",
        "consistency": "kdzoo_self.consistency:Consistency",
    }


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """Schemes in which the student is its own teacher."""
    return {
        "self-exits": "kdzoo_self.exits:SelfExits",
        "same-class": "kdzoo_self.same_class:SameClass",
        "own-past": "kdzoo_self.past:OwnPast",
        "virtual": "kdzoo_self.virtual:VirtualTeacher",
        "ema": "kdzoo_self.average:WeightAverage",
    }


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Generations, the last mini-batch, and two ways to weight the task loss."""
    return {
        "born-again": "kdzoo_self.born_again:BornAgain",
        "last-batch": "kdzoo_self.last_batch:LastBatch",
        "deep-supervision": "kdzoo_self.deep_supervision:DeepSupervision",
        "growing-trust": "kdzoo_self.growing:GrowingTrust",
    }
