"""Labelled pictures to measure a network on: a split of a folder, of a data set, or of a run's own data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from kdzoo.data.listing import Listing
from kdzoo.data.parts import choose
from kdzoo.data.source import data_name, find_source
from kdzoo.errors import Fault, KdzooError
from kdzoo.recipe.data import DataConfig
from kdzoo.yaml_text import read_yaml
from kdzoo.zoo import Zoo


@dataclass(frozen=True, eq=False)
class Labelled:
    """A split.

    Attributes:
        what: names it in a sentence: ``test split of DIR``.
        listing: has its pictures.
        rows: those of the split.
        targets: (n,) class id of each, -1 without a label.
        classes: the class names, in the order of their ids.
        notes: what the user should know of how the splits came about.
    """

    what: str
    listing: Listing
    rows: list[int]
    targets: Tensor
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def data_of(given: Mapping[str, Any], run: Path | None) -> DataConfig:
    """The data that a user names, by keys of the recipe's ``data``; without any, those of the run.

    Raises:
        KdzooError: a bad value, or nothing says which data.
    """
    values = dict(given)
    if not {"data_dir", "dataset", "labels_file"} & set(values):
        if run is None:
            raise KdzooError(
                "which pictures? pass --data-dir DIR (a folder with one sub-folder for each class)"
            )
        own = read_yaml(run / "recipe.yaml").get("data")
        values = {**(own if isinstance(own, dict) else {}), **values}
    try:
        return DataConfig.model_validate(values)
    except ValidationError as error:
        raise KdzooError(f"data.{Fault.first(error)}") from None


def split_of(config: DataConfig, split: str, zoo: Zoo | None = None) -> Labelled:
    """A split, as a run with this configuration has it.

    Args:
        config: which data.
        split: ``train``, ``val`` or ``test``.
        zoo: whose plugins may have the data set.

    Raises:
        KdzooError: there are no such data, or no such split.
    """
    source = find_source(config, zoo)
    parts = choose(source, config, {})
    where = str(config.data_dir) if config.data_dir is not None else data_name(config)
    if split not in parts or not len(parts[split].split):
        raise KdzooError(f"{where} has no {split} split; it has {', '.join(parts)}")
    part = parts[split]
    targets = part.listing.targets[part.split.index.numpy()]
    return Labelled(
        f"{split} split of {where}",
        part.listing,
        part.split.index.tolist(),
        part.split.target.new_tensor(targets),
        source.classes,
        source.notes,
    )
