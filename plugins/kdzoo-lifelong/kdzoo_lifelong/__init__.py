"""Lifelong distillation: classes come task by task, and the earlier self teaches what it knew."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """What the earlier self said of its classes, and how its features looked."""
    return {
        "lwf": "kdzoo_lifelong.lwf:Lwf",
        "old-sigmoids": "kdzoo_lifelong.old_sigmoids:OldSigmoids",
        "pod": "kdzoo_lifelong.pod:Pod",
    }


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """The student as it was teaches the student as it is."""
    return {"previous-self": "kdzoo_lifelong.previous_self:PreviousSelf"}


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Lives of tasks."""
    return {
        "lifelong": "kdzoo_lifelong.lifelong:Lifelong",
        "icarl": "kdzoo_lifelong.icarl:Icarl",
        "podnet": "kdzoo_lifelong.podnet:Podnet",
        "der": "kdzoo_lifelong.der:Der",
    }
