"""Names and numbers for readers."""

from __future__ import annotations

import re
from functools import cache

from timm.data import ImageNetInfo


def percent(value: float | None) -> str:
    """Two decimals, or a dash."""
    return "–" if value is None else f"{value:.2f}"


def millions(value: int | None, decimals: int = 2) -> str:
    """In millions, or a dash."""
    return "–" if value is None else f"{value / 1e6:.{decimals}f}"


def printable(text: str) -> str:
    """In one line, without what a terminal would obey, and without bytes that are no UTF-8."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shortened(text: str, room: int) -> str:
    """Printable, and cut at its end where it is too long."""
    text = printable(text)
    return text if len(text) <= room else f"{text[: room - 1]}…"


def end_of(text: str, room: int) -> str:
    """Printable, and cut at its start where it is too long: the end of a path tells it apart."""
    text = printable(text)
    return text if len(text) <= room else f"…{text[1 - room :]}"


def spoken(name: str) -> str:
    """The first English word of one of ImageNet's synsets: ``tench`` for ``n01440764``; other names as they are."""
    if not re.fullmatch(r"n\d{8}", name):
        return name
    try:
        return str(_synsets().label_name_to_description(name)).partition(",")[0]
    except KeyError:  # it only looks like one
        return name


@cache
def _synsets() -> ImageNetInfo:
    return ImageNetInfo("imagenet-1k")
