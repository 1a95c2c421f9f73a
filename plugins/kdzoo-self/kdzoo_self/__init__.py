"""Self-distillation: a network that learns from its own depth, past, average, or from a made-up teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Algorithm, Knowledge, Scheme


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """What exits learn from the deepest one, and what a student learns from its average."""
    from kdzoo_self.byot import Byot
    from kdzoo_self.consistency import Consistency

    return [Byot, Consistency]


@hookimpl
def kdzoo_schemes() -> list[type[Scheme]]:
    """The different selves that teach a student."""
    from kdzoo_self.average import WeightAverage
    from kdzoo_self.exits import SelfExits
    from kdzoo_self.past import OwnPast
    from kdzoo_self.same_class import SameClass
    from kdzoo_self.virtual import VirtualTeacher

    return [SelfExits, SameClass, OwnPast, VirtualTeacher, WeightAverage]


@hookimpl
def kdzoo_algorithms() -> list[type[Algorithm]]:
    """Generations, the last mini-batch, and two ways to weigh labels."""
    from kdzoo_self.born_again import BornAgain
    from kdzoo_self.deep_supervision import DeepSupervision
    from kdzoo_self.growing import GrowingTrust
    from kdzoo_self.last_batch import LastBatch

    return [BornAgain, LastBatch, DeepSupervision, GrowingTrust]
