"""Images whose labels, and perhaps splits, a table names: a CSV or a parquet file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from timm.utils.misc import natural_key

from kdzoo.data.class_folders import in_order
from kdzoo.data.counted import some
from kdzoo.data.cut import cut
from kdzoo.data.file_listing import NO_LABEL
from kdzoo.data.folder import VALIDATION, source_of
from kdzoo.data.listing import Source
from kdzoo.errors import KdzooError, shortened
from kdzoo.recipe.data import DataConfig
from kdzoo.zoo.plugin import first_line

_SPLITS = {"train": "train", **dict.fromkeys(VALIDATION, "val"), "test": "test"}


class _Row(NamedTuple):
    """A row of the table with its number, the first row below the header being 1."""

    number: int
    path: str
    label: str
    split: str


def scan(data_dir: Path, file: Path, config: DataConfig) -> Source:
    """The source of the files that a table names, each with its label; one with an empty label is unlabelled.

    Classes and files are in the order that they have in an image folder, so that both give the same run.

    Args:
        data_dir: the folder that the paths are below.
        file: the table, with the columns ``path``, ``label`` and perhaps ``split``. Without it a part of each class
            is the test split, as for class folders alone.
        config: of the data.

    Raises:
        KdzooError: the table cannot be read, lacks a column, or names a file that is not there, that lies elsewhere,
            or that it has named already; there is one class; the classes differ between splits.

    """
    if not data_dir.is_dir():
        raise KdzooError(f"data_dir {data_dir} is not a folder; the paths of {file} are below it")
    if config.class_depth != 1:
        raise KdzooError("data.class_depth is for class folders, and data.labels_file names the classes")
    rows, has_splits = _checked(file, data_dir, config)
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        label = NO_LABEL if config.unlabelled else row.label
        found.setdefault(row.split, {}).setdefault(label, []).append(f"{data_dir}/{row.path}")
    splits: dict[str, dict[str, list[str]]] = {
        split: {
            label: sorted(found[split][label], key=lambda name: (natural_key(name), name))
            for label in in_order(found[split])
        }
        for split in ("train", "val", "test")
        if split in found
    }
    labels = {row.label for row in rows} - {NO_LABEL}
    if len(labels) == 1:
        raise KdzooError(f"{file} has the one label {labels.pop()}, and there is nothing to tell apart")
    if not has_splits:
        return cut(data_dir, splits["train"], config, [f"{file} has no column split"])
    if config.withhold_train:
        splits.pop("train", None)
    elif "train" not in splits:
        raise KdzooError(f"{file}: no row has the split train")
    if not splits.keys() - {"train"}:
        raise KdzooError(f"{file}: no row has the split test or val")
    return source_of(data_dir, splits, config, (), folders=False)


def _checked(file: Path, data_dir: Path, config: DataConfig) -> tuple[list[_Row], bool]:
    """The rows, and whether they name their splits.

    Raises:
        KdzooError: as for :func:`scan`.

    """
    rows: dict[str, _Row] = {}
    has_splits, missing = False, []
    for number, content in enumerate(_content(file), 1):
        lacking = [name for name in ("path", "label") if name not in content]
        if lacking:
            raise KdzooError(
                f"{file} has no column {lacking[0]}; accepted: the columns path, label and perhaps split, and it has "
                f"{shortened(', '.join(map(str, content)), quoted=False)}"
            )
        has_splits = "split" in content
        row = _row(file, number, content)
        before = rows.setdefault(row.path, row)
        if before is not row:
            what = (
                f"labels {before.label!r} and {row.label!r}"
                if before.label != row.label
                else f"splits {before.split} and {row.split}"
                if before.split != row.split
                else "twice"
            )
            raise KdzooError(f"{file}: {row.path} is named in rows {before.number} and {number}, {what}")
        if not os.path.isfile(f"{data_dir}/{row.path}"):
            missing.append(row.path)
    if missing:
        raise KdzooError(
            f"{file} names {len(missing)} of {len(rows)} files that {data_dir} lacks: {some(missing, 3)}"
        )
    if not rows:
        raise KdzooError(f"{file} has no rows")
    return list(rows.values()), has_splits


def _row(file: Path, number: int, content: Mapping[Any, Any]) -> _Row:
    path, label, split = (_text(content.get(name)) for name in ("path", "label", "split"))
    if not path:
        raise KdzooError(f"{file}: row {number} has no path")
    inside = os.path.normpath(path).replace(os.sep, "/")
    if os.path.isabs(path) or inside.split("/")[0] in ("..", "."):
        raise KdzooError(
            f"{file}: row {number}: {shortened(path)} must be a path below data_dir, relative to it"
        )
    if "split" not in content:
        return _Row(number, inside, label, "train")
    if split not in _SPLITS:
        raise KdzooError(f"{file}: row {number}: split {shortened(split)}; accepted: {', '.join(_SPLITS)}")
    return _Row(number, inside, label, _SPLITS[split])


def _text(value: Any) -> str:
    """A cell as text: whole numbers without a point, nothing as an empty text."""
    if value is None or value != value:
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _content(file: Path) -> Iterator[Mapping[Any, Any]]:
    """The rows of the table, by the names of its columns.

    Raises:
        KdzooError: it cannot be read.

    """
    if file.suffix.lower() in (".parquet", ".pq"):
        yield from _parquet(file)
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            header = opened.readline()
            opened.seek(0)
            delimiter = next((one for one in ",;\t" if one in header), ",")
            yield from csv.DictReader(opened, delimiter=delimiter, strict=True)
    except OSError as error:
        raise KdzooError(f"data.labels_file {file}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise KdzooError(f"data.labels_file {file} is no CSV in UTF-8: {first_line(error)}") from None


def _parquet(file: Path) -> Iterator[Mapping[Any, Any]]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise KdzooError(
            f"data.labels_file {file}: parquet is read by pyarrow: pip install pyarrow, or use CSV"
        ) from None
    try:
        yield from parquet.read_table(file).to_pylist()
    except Exception as error:  # pyarrow has many
        raise KdzooError(f"data.labels_file {file} cannot be read: {first_line(error)}") from None
