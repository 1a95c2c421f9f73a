"""Memory that a process frees, and needs again a moment later."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # numbers of malloc.h
_NEVER, _NONE = -1, 0


def keep_freed_memory() -> None:
    """Let this process keep what it frees, where the C library is glibc; elsewhere nothing changes.

    A training step on the CPU frees all its activations. glibc returns large ones to the system, which clears each
    page anew in the next step: a third of a step on photographs.
    """
    with suppress(OSError, AttributeError, TypeError):  # not Linux, or not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, _NONE)
        mallopt(_TRIM_THRESHOLD, _NEVER)
