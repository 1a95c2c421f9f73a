"""Self-distillation: a network that learns from its own depth, past, average, or from a made-up teacher."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """What exits learn from the deepest one, and what a student learns from its average."""
    return {
        "byot": "kdzoo_self.byot:Byot",
        "consistency": "kdzoo_self.consistency:Consistency",
    }


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """The different selves that teach a student."""
    return {
        "self-exits": "kdzoo_self.exits:SelfExits",
        "same-class": "kdzoo_self.same_class:SameClass",
        "own-past": "kdzoo_self.past:OwnPast",
        "virtual": "kdzoo_self.virtual:VirtualTeacher",
        "ema": "kdzoo_self.average:WeightAverage",
    }


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Generations, the last mini-batch, and two ways to weigh labels."""
    return {
        "born-again": "kdzoo_self.born_again:BornAgain",
        "last-batch": "kdzoo_self.last_batch:LastBatch",
        "deep-supervision": "kdzoo_self.deep_supervision:DeepSupervision",
        "growing-trust": "kdzoo_self.growing:GrowingTrust",
    }
