"""The innermost stack frame that belongs to a component, not to torch or the core."""

from __future__ import annotations

import traceback
from pathlib import Path

_CORE = Path(__file__).parents[1]
_OTHERS = {"torch", "timm", "lightning_fabric"}


def innermost(frames: traceback.StackSummary) -> str | None:
    """``file.py:line`` of the innermost frame outside torch and timm; None if it is in the core.

    The core's built-in components count as components.
    """
    for frame in reversed(frames):
        path = Path(frame.filename)
        if _OTHERS & set(path.parts) or path.is_relative_to(Path(__file__).parent):
            continue
        if path.is_relative_to(_CORE) and "builtin" not in path.parts:
            return None
        return f"{path.name}:{frame.lineno}"
    return None


def blame(error: BaseException) -> tuple[str, str]:
    """An exception in one line, and ``file.py:line`` of its innermost frame outside torch and timm."""
    text = str(error).strip().splitlines()
    frames = traceback.extract_tb(error.__traceback__)
    inside = [one for one in frames if not _OTHERS & set(Path(one.filename).parts)] or list(frames)
    where = f"{Path(inside[-1].filename).name}:{inside[-1].lineno}" if inside else "unknown"
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__, where
