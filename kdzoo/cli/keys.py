"""``--knowledge.temperature=2``: every key of the recipe as an option, as sweep agents pass them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from typer.core import TyperCommand

from kdzoo.recipe.model import Recipe

_FORM = re.compile(r"--([A-Za-z_][\w.-]*)=", re.ASCII)


class TakesKeys(TyperCommand):
    """A command with ``--set KEY=VALUE`` that reads ``--KEY=VALUE`` in the same way."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, keys of the recipe among them."""
        own = {form for one in self.params for form in (*one.opts, *one.secondary_opts)}
        return super().parse_args(ctx, [*as_set(args, own)])


def as_set(args: Sequence[str], own: Collection[str]) -> Iterator[str]:
    """The arguments with ``--set=KEY=VALUE`` in place of ``--KEY=VALUE``.

    A key has a dot, or is one of the recipe's; the command's ``own`` options come first, and after ``--`` nothing is
    an option.
    """
    end = args.index("--") if "--" in args else len(args)
    for one in args[:end]:
        found = _FORM.match(one)
        key = found[1] if found and f"--{found[1]}" not in own else ""
        yield f"--set={one[2:]}" if "." in key or key in Recipe.model_fields else one
    yield from args[end:]
