"""Feature-based knowledge: losses between the feature maps of a student and a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Algorithm, Knowledge


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Losses between feature maps."""
    from kdzoo_feature.ab import ActivationBoundaries
    from kdzoo_feature.fitnet import FitNet
    from kdzoo_feature.ft import FactorTransfer
    from kdzoo_feature.mgd import MGD
    from kdzoo_feature.nst import NST
    from kdzoo_feature.ofd import OFD
    from kdzoo_feature.reviewkd import ReviewKD
    from kdzoo_feature.simkd import SimKD
    from kdzoo_feature.srrl import SRRL
    from kdzoo_feature.vid import VID

    return [ActivationBoundaries, FactorTransfer, FitNet, MGD, NST, OFD, ReviewKD, SimKD, SRRL, VID]


@hookimpl
def kdzoo_algorithms() -> list[type[Algorithm]]:
    """The two phases of factor transfer; the student with its teacher's classifier."""
    from kdzoo_feature.factor_transfer import FactorTransferPhases
    from kdzoo_feature.simkd import ReusedClassifier

    return [FactorTransferPhases, ReusedClassifier]
