"""What a user asks of ``kdzoo compress``, and whether a folder was begun with the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import PositiveFloat, PositiveInt

from kdzoo.errors import KdzooError, shortened
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.layers import flattened
from kdzoo.recipe.section import Section

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_TIMES = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9}


class Request(Section):
    """What is asked for.

    Attributes:
        data: the pictures.
        budget: seconds that all of it may take.
        teacher: its model; None: chosen here.
        teacher_weights: as of a role; None: pretrained where they can be had.
        teacher_train: what of a pretrained one is trained; None: what suits the number of pictures.
        students: their models; empty: chosen here.
        methods: of the registry; empty: those that suit the pictures.
        max_parameters: of the student.
        max_latency_ms: for one picture, of the exported file on this machine.
        max_mb: size of the exported file in megabytes.
        to: the form of the exported file.
    """

    data: DataConfig
    budget: PositiveFloat
    teacher: str | None = None
    teacher_weights: str | None = None
    teacher_train: Literal["head", "full"] | None = None
    students: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    max_parameters: PositiveInt | None = None
    max_latency_ms: PositiveFloat | None = None
    max_mb: PositiveFloat | None = None
    to: Literal["onnx", "torchscript"] = "onnx"

    def plain(self) -> dict[str, Any]:
        """As plain data; of the pictures what was given."""
        data = self.data.model_dump(mode="json", exclude_unset=True)
        return {**self.model_dump(mode="json", exclude={"data"}), "data": data}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two requests: ``budget was 60, is 120``."""
    old, new = dict(flattened(before)), dict(flattened(now))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name} was {shortened(old.get(name))}, is {shortened(new.get(name))}" for name in names]


def seconds_of(text: str) -> float:
    """``90s``, ``20m``, ``2h``, ``1h30m`` in seconds.

    Raises:
        KdzooError: it is no such time.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(min|[smhd])", text.strip().lower())
    if not parts or "".join(map("".join, parts)) != "".join(text.lower().split()):
        raise KdzooError(f"--budget {shortened(text, quoted=False)}: expected a time such as 90s, 20m or 2h")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def number_of(text: str, flag: str) -> int:
    """``2M``, ``500k`` or ``2000000`` as a number.

    Raises:
        KdzooError: it is none above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmb]?)", text.strip().lower())
    number = int(float(found[1]) * _TIMES[found[2]]) if found else 0
    if number < 1:
        raise KdzooError(f"{flag} {shortened(text, quoted=False)}: expected a number such as 2M or 500k")
    return number
