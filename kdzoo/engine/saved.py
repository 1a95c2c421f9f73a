"""What a checkpoint gives back to those who appear later in the resumed run."""

from __future__ import annotations

from typing import Any


class Saved:
    """State by name, until whoever it belongs to takes it.

    After a resume, connectors and random generators are made when they are first needed, each with its saved state.
    What nobody has asked for yet is not lost by the next checkpoint.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, Any] = {}

    def restore(self, content: dict[str, Any]) -> None:
        """Begin with what a checkpoint holds."""
        self.waiting = dict(content)

    def take(self, name: str) -> Any:
        """The state saved under ``name``, once; None if there is none."""
        return self.waiting.pop(name, None)
