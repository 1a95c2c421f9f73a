"""Feature-based knowledge: losses between the feature maps of a student and a teacher."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Losses between feature maps."""
    return {
        "ab": "kdzoo_feature.ab:ActivationBoundaries",
        "ft": "kdzoo_feature.ft:FactorTransfer",
        "fitnet": "kdzoo_feature.fitnet:FitNet",
        "mgd": "kdzoo_feature.mgd:MGD",
        "nst": "kdzoo_feature.nst:NST",
        "ofd": "kdzoo_feature.ofd:OFD",
        "reviewkd": "kdzoo_feature.reviewkd:ReviewKD",
        "simkd": "kdzoo_feature.simkd:SimKD",
        "srrl": "kdzoo_feature.srrl:SRRL",
        "vid": "kdzoo_feature.vid:VID",
    }


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Factor transfer in two phases, and the student with the teacher's classifier."""
    return {
        "factor-transfer": "kdzoo_feature.factor_transfer:FactorTransferPhases",
        "simkd": "kdzoo_feature.simkd:ReusedClassifier",
    }
