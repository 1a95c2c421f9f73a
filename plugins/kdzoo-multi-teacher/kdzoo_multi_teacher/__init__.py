"""Several teachers and one student: how their lessons are weighed, or merged into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Algorithm, Scheme


@hookimpl
def kdzoo_schemes() -> list[type[Scheme]]:
    """Teachers with equal weights, or weighed by entropy, by confidence in the label, or by their gradients."""
    from kdzoo_multi_teacher.adaptive import Adaptive
    from kdzoo_multi_teacher.average import Average
    from kdzoo_multi_teacher.confidence import ConfidenceAware
    from kdzoo_multi_teacher.entropy import EntropyWeighted

    return [Average, EntropyWeighted, ConfidenceAware, Adaptive]


@hookimpl
def kdzoo_algorithms() -> list[type[Algorithm]]:
    """Weighed hints of several teachers; specialists and a generalist."""
    from kdzoo_multi_teacher.confident_hints import ConfidentHints
    from kdzoo_multi_teacher.specialists import Specialists

    return [ConfidentHints, Specialists]
