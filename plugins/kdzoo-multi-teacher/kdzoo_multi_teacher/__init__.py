"""Several teachers and one student: weighting the teachers, or merging them into one."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """Teachers with equal weights, or weights by entropy, cross-entropy with the label, or gradients."""
    return {
        "average": "kdzoo_multi_teacher.average:Average",
        "entropy-weighted": "kdzoo_multi_teacher.entropy:EntropyWeighted",
        "confidence-aware": "kdzoo_multi_teacher.confidence:ConfidenceAware",
        "adaptive": "kdzoo_multi_teacher.adaptive:Adaptive",
    }


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Weighted hints from several teachers; specialists and a generalist."""
    return {
        "confident-hints": "kdzoo_multi_teacher.confident_hints:ConfidentHints",
        "specialists": "kdzoo_multi_teacher.specialists:Specialists",
    }
