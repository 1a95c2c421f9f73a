"""Links between documents, rewritten for pages that lie elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

_LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<to>[^)\s]+)\)")
_CODE = re.compile(
    r"^(```.*?^```[^\n]*$|(?<=\n\n) {4}[^\n]*(?:\n(?: {4}[^\n]*)?)*)", re.MULTILINE | re.DOTALL
)
"""Between fences, or indented after an empty line."""

_ELSEWHERE = ("http://", "https://", "mailto:")


def rewritten(text: str, source: Path, page: str, pages: Mapping[Path, str]) -> str:
    """The document's text with its links pointing to pages.

    A link to a file of the repository that is no page becomes its text. A link within the document leads to the
    document's own page. Code blocks stay as they are.

    Args:
        text: Markdown.
        source: the file that it comes from.
        page: its page, relative to the site.
        pages: absolute path of a document or folder -> its page.
    """

    def target(match: re.Match[str]) -> str:
        to, _, fragment = match["to"].partition("#")
        if match["to"].startswith(_ELSEWHERE):
            return match[0]
        found = pages.get((source.parent / to).resolve() if to else source)
        if found == page:
            return f"[{match['text']}](#{fragment})"
        if found is None:
            return match["text"]
        there = os.path.relpath(found, Path(page).parent)
        return f"[{match['text']}]({there}{'#' + fragment if fragment else ''})"

    return outside_code(text, lambda prose: _LINK.sub(target, prose))


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """``text`` with ``change`` applied to what is outside of code blocks."""
    parts = _CODE.split(text)
    return "".join(part if part.startswith(("```", "    ")) else change(part) for part in parts)
