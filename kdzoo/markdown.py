"""Text of others in Markdown, where it must be neither HTML nor Markdown."""

from __future__ import annotations

import re


def markdown_text(text: str) -> str:
    """Any text, such as the name of a class, so that Markdown shows it as it is, on one line."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", flat)


def code_block(text: str, language: str = "") -> str:
    """``text`` between fences that are longer than any row of backticks in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
