"""Formulas as MathML, which browsers draw without a script or a network."""

from __future__ import annotations

import re

from latex2mathml.converter import convert
from links import outside_code

_BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_INLINE = re.compile(r"(?<![\\$\w`])\$(?!\s)([^$`\n]+?)(?<!\s)\$(?![\w$`])")
_CODE = re.compile(r"(`+[^`]+`+)")


def drawn(text: str) -> str:
    """Markdown with ``$...$`` and ``$$...$$`` as MathML; code stays as it is."""
    return outside_code(text, _drawn)


def _drawn(prose: str) -> str:
    prose = _BLOCK.sub(lambda one: f"\n\n{_math(one[1], 'block')}\n\n", prose)
    parts = _CODE.split(prose)
    return "".join(
        part if part.startswith("`") else _INLINE.sub(lambda one: _math(one[1], "inline"), part)
        for part in parts
    )


def _math(formula: str, display: str) -> str:
    return convert(" ".join(formula.split()), display=display)
