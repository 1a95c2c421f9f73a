"""Small networks of timm that meet the limits, by counting and measuring them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import timm
import torch

from kdzoo.backbone import Backbone, build_backbone, find_model
from kdzoo.compress.footprint import Footprint, footprint
from kdzoo.compress.request import Request
from kdzoo.compress.survey import Survey
from kdzoo.errors import KdzooError
from kdzoo.recipe.roles import RoleConfig
from kdzoo.zoo import Zoo

FAMILIES = (
    "efficientnet_lite0",
    "ghostnet_*",
    "lcnet_*",
    "mobilenetv3_large_100",
    "mobilenetv3_small_*",
    "mobilenetv4_conv_small*",
    "regnety_002",
    "resnet10t",
    "resnet14t",
    "resnet18",
    "test_efficientnet",
    "tinynet_*",
)
"""Families of timm that are small and train on few pictures; which of them is taken is a matter of measurement."""

PART = 4
"""Without a limit, a student has at most such a part of the teacher's parameters."""

_MEASURED = 8
"""Candidates that are exported and timed at most."""


@dataclass(frozen=True)
class Candidate:
    """A network that may become the student.

    Attributes:
        model: its name in timm.
        parameters: counted.
        footprint: of its exported file; None where no limit asked for it.
    """

    model: str
    parameters: int
    footprint: Footprint | None = None


def candidates(
    request: Request, survey: Survey, number: int, teacher: int, zoo: Zoo, tell: Callable[[str], None]
) -> list[Candidate]:
    """Networks within the limits, the largest first, spread over the sizes.

    Args:
        request: the limits, and the networks that the user names.
        survey: the pictures.
        number: how many at most.
        teacher: its parameters.
        zoo: whose plugins may have networks.
        tell: is told which one is being measured.

    Raises:
        UnknownName: the user names a network that nobody has.
        KdzooError: none is within the limits; names the nearest one.
    """
    if request.students:
        for name in request.students:
            find_model(name, zoo)
        found = [Candidate(name, parameters_of(build(name, survey, zoo))) for name in request.students]
    else:
        found = [one for one in counted(survey.classes) if _builds(one.model, survey, zoo)]
    limit = request.max_parameters
    if limit is None and not request.students:
        smaller = [one for one in found if PART * one.parameters <= teacher]
        found = smaller or [min(found, key=lambda one: one.parameters)]
    within = [one for one in found if limit is None or one.parameters <= limit]
    if not within:
        nearest = min(found, key=lambda one: one.parameters)
        raise KdzooError(
            f"no candidate has at most {limit:,} parameters; the nearest is {nearest.model} with "
            f"{nearest.parameters:,}"
        )
    if request.students:
        number = len(request.students)
    if request.max_latency_ms is None and request.max_mb is None:
        return spread(within, number)
    return _measured(request, survey, spread(within, max(number, _MEASURED)), number, zoo, tell)


def spread(found: Sequence[Candidate], number: int) -> list[Candidate]:
    """So many at most, the largest first, evenly over the order of their sizes."""
    ordered = sorted(found, key=lambda one: -one.parameters)
    number = min(number, len(ordered))
    return [ordered[round(place * len(ordered) / number)] for place in range(number)]


def build(model: str, survey: Survey, zoo: Zoo) -> Backbone:
    """An untrained network for these pictures."""
    return build_backbone(
        RoleConfig(model=model),
        num_classes=survey.classes,
        channels=survey.data.channels["image"],
        img_size=survey.data.img_size,
        zoo=zoo,
    )


def parameters_of(network: torch.nn.Module) -> int:
    """Number of parameters."""
    return sum(one.numel() for one in network.parameters())


def _measured(
    request: Request,
    survey: Survey,
    ordered: Iterable[Candidate],
    number: int,
    zoo: Zoo,
    tell: Callable[[str], None],
) -> list[Candidate]:
    """The first of these whose exported file is within the limits."""
    kept, tried = [], []
    for one in ordered:
        tell(f"measuring {one.model} as {request.to}")
        own = Candidate(one.model, one.parameters, footprint(build(one.model, survey, zoo), request.to))
        tried.append(own)
        if not any(_beyond(own.footprint, request)):
            kept.append(own)
        if len(kept) == number:
            break
    if kept:
        return kept
    nearest = min(tried, key=lambda one: max(_beyond(one.footprint, request)))
    raise KdzooError(
        f"no candidate is within the limits as {request.to}; the nearest is {nearest.model}: {nearest.footprint}"
    )


def _beyond(found: Footprint | None, request: Request) -> Iterator[float]:
    """For each limit that is given, by which factor it is exceeded; 0 if it is not."""
    assert found is not None
    for limit, value in ((request.max_latency_ms, found.milliseconds), (request.max_mb, found.megabytes)):
        yield value / limit if limit is not None and value > limit else 0.0


@cache
def counted(classes: int) -> tuple[Candidate, ...]:
    """The families' networks; counted without memory for their weights."""
    found = []
    for name in timm.list_models(list(FAMILIES)):
        with torch.device("meta"):
            found.append(Candidate(name, parameters_of(timm.create_model(name, num_classes=classes))))
    return tuple(found)


def _builds(model: str, survey: Survey, zoo: Zoo) -> bool:
    """Whether it takes pictures of this size."""
    try:
        build(model, survey, zoo)
    except KdzooError:
        return False
    return True
