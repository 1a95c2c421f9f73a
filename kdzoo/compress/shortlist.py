"""The methods that suit the pictures: those of the registry that say so."""

from __future__ import annotations

from kdzoo.compress.request import Request
from kdzoo.errors import KdzooError
from kdzoo.jobs.unlabelled import methods_without_labels, why_labels
from kdzoo.registry.load import find_method
from kdzoo.registry.model import Method, Registry, Situation
from kdzoo.zoo import Zoo


def shortlist(request: Request, situation: Situation, registry: Registry, zoo: Zoo) -> list[str]:
    """The user's methods, or the installed ones that suit the situation, in the registry's order.

    Raises:
        UnknownName: the registry has no method of that name.
        KdzooError: one is not installed, has no teacher, needs labels where there are none, or none suits.
    """
    for name in request.methods:
        method = find_method(registry, name)
        if not zoo.has(*method.packages):
            raise KdzooError(f"method {name} is not installed: pip install {' '.join(method.packages)}")
        if method.category == "baseline":
            raise KdzooError(f"--methods {name}: the baselines are compared with anyway; name others")
        if not _is_taught(method, zoo):
            raise KdzooError(
                f"--methods {name}: it has no teacher that is trained before; kdzoo bench compares such methods"
            )
        why = why_labels(method.components, zoo) if situation == "no-labels" else None
        if why is not None:
            known = ", ".join(methods_without_labels(zoo))
            raise KdzooError(f"--methods {name}: there are no labels, and {why}; without labels: {known}")
    found = list(request.methods) or [
        name
        for name, method in registry.methods.items()
        if situation in method.suits and zoo.has(*method.packages)
    ]
    if not found:
        packages = {
            package
            for method in registry.methods.values()
            if situation in method.suits
            for package in method.packages
        }
        raise KdzooError(
            f"no method for pictures with {situation.replace('-', ' ')} is installed: pip install "
            f"{' '.join(sorted(packages - {'kdzoo'}))}"
        )
    return found


def _is_taught(method: Method, zoo: Zoo) -> bool:
    """Whether a teacher that is trained before teaches it."""
    offline = zoo.find("scheme", method.scheme.name).component.kind == "offline"
    reads = bool(method.knowledge) or zoo.find("algorithm", method.algorithm.name).component.reads_teacher
    return bool(offline and reads)
