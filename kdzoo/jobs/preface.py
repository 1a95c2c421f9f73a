"""What a run says of its data and its teachers before the first step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from kdzoo.data import cache
from kdzoo.data.dataset import DataSet
from kdzoo.errors import shortened
from kdzoo.recipe.roles import RoleConfig

_SHOWN = 6
"""Class names that are listed."""


def about_data(data: DataSet, batch_size: int, processes: int = 1) -> Iterator[str]:
    """Splits, classes, sizes and steps in one line; and where decoded images were found.

    ``batch_size`` is that of each of the ``processes``; the line has that of all.
    """
    splits = {"training": data.training, "validation": data.val, "test": data.test}
    counts = [f"{len(one.split):,} {name}" for name, one in splits.items() if one is not None]
    images = " and ".join(filter(None, [", ".join(counts[:-1]), counts[-1]]))
    names = [shortened(name, quoted=False, most=40) for name in data.classes[:_SHOWN]]
    classes = (
        f" of {len(data.classes):,} classes ({', '.join(names)}{', ...' * (len(data.classes) > _SHOWN)})"
    )
    left_out = f"; {len(data.skipped):,} unreadable left out" if data.skipped else ""
    count = 0 if data.training is None else len(data.training)
    size = f"{processes * batch_size:,} images"
    size += f" ({processes} processes of {batch_size:,})" if processes > 1 else ""
    steps = f"; {count:,} step{'s' * (count > 1)} of {size} an epoch" if count else ""
    yield f"data: {images} images{classes * bool(data.classes)}, {data.img_size} px{left_out}{steps}"
    if data.found:
        yield f"decoded images found in {cache.folder()}: {', '.join(data.found)}"


def about_teachers(
    roles: Mapping[str, RoleConfig],
    accuracies: Mapping[str, float],
    folders: Mapping[str, Path],
    new: set[str],
) -> Iterator[str]:
    """A line for each teacher that kdzoo has trained, in this run or before.

    Args:
        roles: of the recipe.
        accuracies: role -> accuracy in percent on the test split.
        folders: role -> where it is kept.
        new: the roles that were trained for this run.
    """
    for role, folder in folders.items():
        config = roles.get(role) or roles.get(role.rstrip("0123456789"))
        model = f" {config.model}" if config is not None else ""
        right = f"{accuracies[role]:.2f} % on test, " if role in accuracies else ""
        yield f"{role}{model}: {right}{'trained for this run, kept' if role in new else 'found'} in {folder}"
