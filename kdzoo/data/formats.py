"""Which files are images: the formats of photographs that Pillow opens here, those of its plugins included."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import import_module

from PIL import Image

_FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "JXL", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP",
)  # fmt: skip
"""Pillow's names of the formats that photographs come in."""

_PLUGINS = {"pillow-heif": (".heic", ".heif"), "pillow-jxl-plugin": (".jxl",)}
"""Distribution of a Pillow plugin -> suffixes that it reads."""


def _register_plugins() -> None:
    """Let Pillow read HEIC and JPEG XL, if its plugins are installed."""
    with suppress(Exception):  # one that cannot be used is as good as none
        import_module("pillow_heif").register_heif_opener()
    with suppress(Exception):
        import_module("pillow_jxl")  # registers itself


_register_plugins()
# Pillow refuses what is more than twice too large; the warning about the rest would be printed in every process.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@cache
def suffixes() -> tuple[str, ...]:
    """The suffixes that Pillow knows for formats of photographs, ``.jfif`` as well as ``.jpg``."""
    known = Image.registered_extensions().items()
    # a .pfm holds floating-point numbers of any range
    return tuple(sorted(suffix for suffix, name in known if name in _FORMATS and suffix != ".pfm"))


def is_image(file: str) -> bool:
    """Whether a file's suffix is that of an image or, if it has none, whether it begins like one."""
    suffix = os.path.splitext(file)[1].lower()
    return suffix in suffixes() or (not suffix and _begins_like_one(file))


def _begins_like_one(file: str) -> bool:
    suffixes()  # lets Pillow import its formats
    try:
        with open(file, "rb") as opened:
            start = opened.read(16)
    except OSError:
        return False
    if len(start) < 16:
        return False
    tests = (Image.OPEN[name][1] for name in _FORMATS if name in Image.OPEN)
    return any(test is not None and test(start) is True for test in tests)


def plugin_hint(names: Iterable[str]) -> str:
    """`` (pip install pillow-heif reads .heic)`` if there are such files and no plugin; else nothing."""
    there = {os.path.splitext(name)[1].lower() for name in names} - set(suffixes())
    said = [
        f"pip install {plugin} reads {suffix}"
        for plugin, own in _PLUGINS.items()
        for suffix in own
        if suffix in there
    ]
    return f" ({'; '.join(said)})" if said else ""
