"""Errors that are the user's to mend: the command line prints each as one line and exits with 2."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class KdzooError(Exception):
    """Something that the user can put right; the message names the file, key or plugin and what is accepted."""


_MOST = 60
"""Names that an error lists; timm has more than a thousand."""


def shortened(value: Any, *, quoted: bool = True, most: int = 80) -> str:
    """A bad value for a message: its ``repr``, or the text itself, in one line and cut where it is long."""
    try:
        text = repr(value) if quoted else " ".join(str(value).split())
    except (ValueError, RecursionError):  # an int of more digits than Python writes
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= most else f"{text[: most - 20]}… ({len(text)} characters)"


class NothingToRun(KdzooError):
    """Neither a method nor a recipe is given."""

    def __init__(self) -> None:
        super().__init__("what shall be run? pass --method NAME (kdzoo list shows them) or --recipe FILE")


class UnknownName(KdzooError):
    """A name that nothing answers to, with the nearest ones that something does."""

    def __init__(self, what: str, name: str, known: Iterable[str], hint: str = "", *, of: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name[:_MOST], known, n=3, cutoff=0.5)
        shown = ", ".join(known) or "none"
        shown = shown if len(known) <= _MOST else f"{len(known)} names, none of which is like it"
        offer = f"did you mean {' or '.join(near)}?" if near else f"known: {shown}"
        super().__init__(
            f"unknown {what} {shortened(name)}{' of ' + of if of else ''}; {offer}{' ' + hint if hint else ''}"
        )


@dataclass(frozen=True)
class Fault:
    """What pydantic found wrong first, for a message of one line; as text ``key: message``.

    Attributes:
        loc: the keys that lead to the bad value; empty if the whole is bad.
        code: pydantic's name of the error, such as ``"missing"``.
        message: what is wrong, in words.
        given: the bad value.
    """

    loc: tuple[str, ...]
    code: str
    message: str
    given: Any

    @classmethod
    def first(cls, error: ValidationError) -> Fault:
        """The first of the errors that ``error`` holds."""
        one = error.errors()[0]
        message = one["msg"].removeprefix("Value error, ")
        loc = tuple(
            shortened(part, quoted=False) for part in one["loc"] if part != "[key]"
        )  # pydantic's word for it
        return cls(loc, one["type"], message, one["input"])

    @property
    def key(self) -> str:
        """Where the bad value is, dotted."""
        return ".".join(self.loc)

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.loc else self.message


class Damaged(KdzooError):
    """A file that was written here and is not what was written."""


class NotFinite(KdzooError):
    """A loss became NaN or infinite; the last good checkpoint is kept."""


class OutOfMemory(KdzooError):
    """The device or the machine has too little memory for a step; a checkpoint, if there is one, is kept."""


def ending(code: int | None) -> str:
    """How a process ended, in words, by its exit code; 128 + number is what one exits with that a signal stopped."""
    number = 0 if code is None else -code if code < 0 else code - 128
    try:
        how = f"{'killed' if number == -(code or 0) else 'stopped'} by {signal.Signals(number).name}"
    except ValueError:
        return f"exited with code {code}"
    return f"was {how}{', perhaps out of memory' * (number == signal.SIGKILL)}"
