"""The checks by name, each a function from a subject to its mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdzoo.zoo.zoo import Kind

if TYPE_CHECKING:
    from kdzoo.testing.subject import Subject

Wrong = tuple[str, str]
"""(what is wrong, where)."""


@dataclass(frozen=True)
class Check:
    """A check for one kind of mistake.

    Attributes:
        name: its name, also in a component's ``exempt``.
        kinds: the kinds of components to which it applies.
        looks_for: the mistake, in a few words.
        mend: how to fix it, in a sentence.
        find: yields what is wrong and where.

    """

    name: str
    kinds: tuple[Kind, ...]
    looks_for: str
    mend: str
    find: Callable[[Subject], Iterator[Wrong]]


CHECKS: dict[str, Check] = {}
"""Every check by name, in the order in which they run."""


def check(
    name: str, *kinds: Kind, looks_for: str, mend: str
) -> Callable[[Callable[[Subject], Iterator[Wrong]]], Callable[[Subject], Iterator[Wrong]]]:
    """Register a function as the check ``name`` for these kinds of components."""

    def register(find: Callable[[Subject], Iterator[Wrong]]) -> Callable[[Subject], Iterator[Wrong]]:
        CHECKS[name] = Check(name, kinds, looks_for, mend, find)
        return find

    return register
