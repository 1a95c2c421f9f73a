"""Probabilities for training samples, from a file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdzoo.api import KdzooError

Table = NDArray[np.float64]

TOLERANCE = 1e-3
"""How far from 1 the sum of a row may be."""


def read_table(path: Path, names: Sequence[str], classes: Sequence[str]) -> Table:
    """The (rows, K) probabilities of a ``.csv`` or ``.npy`` file; NaN in rows that the file lacks.

    Args:
        path: ``.csv`` with the columns ``name`` and one for each class, in any order, rows in any order; or an
            ``.npy`` of (rows, K) numbers, rows and columns in the order of ``names`` and ``classes``.
        names: the name of each row.
        classes: the name of each column.

    Raises:
        KdzooError: a file that cannot be read, a wrong shape, an unknown class or name, a row that is not a
            distribution.
    """
    readers = {".csv": _csv, ".npy": _npy}
    if path.suffix not in readers:
        raise KdzooError(f"soft labels {path}: accepted are .csv and .npy files")
    if not path.is_file():
        raise KdzooError(f"soft labels {path}: there is no such file")
    table = readers[path.suffix](path, names, classes)
    _check(path, table, names)
    return table


def _npy(path: Path, names: Sequence[str], classes: Sequence[str]) -> Table:
    try:
        table = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise KdzooError(f"soft labels {path}: not an array of numbers ({error})") from None
    wanted = (len(names), len(classes))
    if not isinstance(table, np.ndarray) or table.shape != wanted or table.dtype.kind not in "fiu":
        found = f"{table.shape} of {table.dtype}" if isinstance(table, np.ndarray) else "an archive"
        raise KdzooError(
            f"soft labels {path}: needed is an array of {wanted} numbers, a row for each training sample and a "
            f"column for each class, not {found}"
        )
    return table.astype(np.float64)


def _csv(path: Path, names: Sequence[str], classes: Sequence[str]) -> Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, OSError, csv.Error) as error:
        raise KdzooError(f"soft labels {path}: not a .csv file ({error})") from None
    if sorted(header) != sorted(["name", *classes]):
        said = [
            f"{what} {_some(columns)}"
            for what, columns in (
                ("lacks", [column for column in ("name", *classes) if column not in header]),
                ("adds", [column for column in header if column not in ("name", *classes)]),
                ("repeats", [column for column in set(header) if header.count(column) > 1]),
            )
            if columns
        ]
        raise KdzooError(
            f"soft labels {path}: the first line must name the columns name and each class once; "
            f"it {' and '.join(said)}"
        )
    order = [header.index(column) for column in classes]
    at, place = header.index("name"), {name: row for row, name in enumerate(names)}
    table = np.full((len(names), len(classes)), np.nan)
    given: set[str] = set()
    for row in rows:
        name = row[at] if len(row) == len(header) else ""
        _check_name(path, row, header, name, place, given)
        given.add(name)
        try:
            table[place[name]] = [float(row[column] or "nan") for column in order]
        except ValueError as error:
            raise KdzooError(f"soft labels {path}, sample {name!r}: {error}") from None
    return table


def _check_name(
    path: Path,
    row: Sequence[str],
    header: Sequence[str],
    name: str,
    place: Mapping[str, int],
    given: set[str],
) -> None:
    if len(row) != len(header):
        raise KdzooError(
            f"soft labels {path}: the line that begins {row[0]!r} has {len(row)} values for {len(header)} columns"
        )
    if name not in place:
        some = next(iter(place), "none")
        raise KdzooError(
            f"soft labels {path}: no training sample is called {name!r}; they are called as {some!r}"
        )
    if name in given:
        raise KdzooError(f"soft labels {path}: sample {name!r} is there twice")


def _check(path: Path, table: Table, names: Sequence[str]) -> None:
    """Each row all NaN, or numbers from 0 to 1 that sum to one."""
    said = ~np.isnan(table).all(axis=1)
    with np.errstate(invalid="ignore"):
        fine = (table >= 0).all(axis=1) & (np.abs(table.sum(axis=1) - 1) <= TOLERANCE)
    wrong = np.flatnonzero(said & ~fine)
    if len(wrong):
        first = int(wrong[0])
        values = ", ".join(f"{value:.3g}" for value in table[first][:5])
        raise KdzooError(
            f"soft labels {path}: {len(wrong)} rows are not probabilities that sum to 1 within {TOLERANCE}; the "
            f"first is that of {names[first]!r}: {values}{', ...' if table.shape[1] > 5 else ''}"
        )


def _some(names: Sequence[str], shown: int = 3) -> str:
    return ", ".join(map(repr, names[:shown])) + (
        f" and {len(names) - shown} more" if len(names) > shown else ""
    )
