"""Lifelong distillation: classes arrive task by task, and the previous network is the teacher."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Losses on the old classes' predictions and on features."""
    return {
        "lwf": "kdzoo_lifelong.lwf:Lwf",
        "old-sigmoids": "kdzoo_lifelong.old_sigmoids:OldSigmoids",
        "pod": "kdzoo_lifelong.pod:Pod",
    }


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """From the previous student to the current one."""
    return {"previous-self": "kdzoo_lifelong.previous_self:PreviousSelf"}


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Training on a sequence of tasks."""
    return {
        "lifelong": "kdzoo_lifelong.lifelong:Lifelong",
        "icarl": "kdzoo_lifelong.icarl:Icarl",
        "podnet": "kdzoo_lifelong.podnet:Podnet",
        "der": "kdzoo_lifelong.der:Der",
    }
