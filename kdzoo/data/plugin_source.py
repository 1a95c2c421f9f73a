"""A plugin's data set as a source: built from its options, and what it returns is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from kdzoo.api.source import DataSource, Samples, SplitName
from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.decode import usual_side
from kdzoo.data.listing import Listing, Pixels, Source, Targets
from kdzoo.data.sample_listing import SampleListing, as_image, form_of
from kdzoo.errors import KdzooError
from kdzoo.recipe.data import DataConfig
from kdzoo.zoo.hyperparameters import schema, validate
from kdzoo.zoo.plugin import first_line, strict
from kdzoo.zoo.zoo import Found


def read(found: Found, config: DataConfig) -> Source:
    """Build the data set and ask it for its splits; ``train`` is not asked for if it is withheld.

    Raises:
        KdzooError: a bad option, or the plugin returns what it must not; names the plugin and the class.

    """
    plugin = found.plugin
    who = f"data set {found.name!r} ({found.component.__name__} of {plugin.distribution} {plugin.version})"
    arguments = _arguments(found, config)
    with _blamed(who):
        made: DataSource = found.component(**arguments)
        classes = _classes(made)
        wanted: list[SplitName] = ["val", "test"] if config.withhold_train else ["train", "val", "test"]
        splits = {
            name: _Checked(found.name, name, samples, len(classes), arguments.get("data_dir"))
            for name in wanted
            if (samples := made.split(name)) is not None
        }
    if "train" not in splits and not config.withhold_train:
        raise KdzooError(f"{who}: split('train') returned None, and there must be a training split")
    if "val" not in splits and "test" not in splits:
        raise KdzooError(
            f"{who}: split('test') and split('val') returned None, and one of them must be there"
        )
    with _blamed(who):
        listings = _listings(splits, config.img_size)
    notes: tuple[str, ...] = ()
    if "test" not in listings:
        listings["test"] = listings.pop("val")
        notes = (
            f"{found.name} has no test split: its validation split is the test split, validation is cut from train",
        )
    train = listings.get("train") or _nothing_like(listings["test"])
    return Source(train, listings.get("val"), listings["test"], classes, notes, made.mirror)


def _arguments(found: Found, config: DataConfig) -> dict[str, Any]:
    """The options with their defaults, and the folder where the class takes one.

    Raises:
        KdzooError: an unknown or bad option, a folder that is missing or not taken.

    """
    if "data_dir" in config.options:
        raise KdzooError("data.options.data_dir: set data.data_dir")
    fields = schema(found.component).model_fields
    given = dict(config.options)
    if config.data_dir is not None:
        if "data_dir" not in fields:
            raise KdzooError(f"data.data_dir {config.data_dir}: the data set {found.name!r} takes no folder")
        given["data_dir"] = config.data_dir.expanduser()
    elif "data_dir" in fields and fields["data_dir"].is_required():
        raise KdzooError(f"data set {found.name!r} needs data.data_dir")
    return validate(found, given, at="data.options")


@contextmanager
def _blamed(who: str) -> Iterator[None]:
    """What the plugin raises inside the block is one line that names it; what it says for the user stays."""
    try:
        yield
    except KdzooError as error:
        raise KdzooError(f"{who}: {error}") from None
    except Exception as error:  # whatever a reader can raise
        if strict():
            raise
        raise KdzooError(f"{who}: {first_line(error)}") from error


def _classes(made: DataSource) -> tuple[str, ...]:
    classes = getattr(made, "classes", None)
    if isinstance(classes, str) or not isinstance(classes, list | tuple) or not classes:
        raise KdzooError(f"classes must be a list of the class names, not {classes!r}")
    if not all(isinstance(name, str) for name in classes) or len(set(classes)) < len(classes):
        raise KdzooError("classes must be strings, all different")
    return tuple(classes)


class _Checked:
    """The samples of one split, after their form was checked."""

    def __init__(self, source: str, name: str, samples: Any, classes: int, data_dir: Path | None) -> None:
        call = f"split({name!r})"
        if not isinstance(samples, Samples):
            raise KdzooError(f"{call} must return kdzoo.api.Samples or None, not {type(samples).__name__}")
        self.what = f"{source} {name}"
        self.images: Any = samples.images
        self.targets = _targets(samples.labels, classes, call)
        if len(self.images) != len(self.targets):
            raise KdzooError(f"{call} has {len(self.images)} images and {len(self.targets)} labels")
        if not len(self.targets):
            raise KdzooError(f"{call} has no samples")
        self.stack = _stack(self.images, call)
        if self.stack is None:
            form_of(self.images[0])
        self.keys = self._keys(samples.names, call, data_dir)

    def _keys(self, names: Any, call: str, data_dir: Path | None) -> tuple[str, ...]:
        if names is None:
            return tuple(self._usual_key(row, data_dir) for row in range(len(self.targets)))
        keys = tuple(str(name) for name in names)
        if len(keys) != len(self.targets) or len(set(keys)) < len(keys):
            raise KdzooError(f"{call}: names must be one for each image, all different")
        return keys

    def _usual_key(self, row: int, data_dir: Path | None) -> str:
        image = self.images[row] if self.stack is None and data_dir is not None else None
        if isinstance(image, str | Path) and data_dir is not None and Path(image).is_relative_to(data_dir):
            return Path(image).relative_to(data_dir).as_posix()
        return f"{self.what} {row}"


def _targets(labels: Any, classes: int, call: str) -> Targets:
    targets = np.asarray(labels)
    if targets.ndim != 1 or (targets.dtype.kind not in "iu" and len(targets)):
        raise KdzooError(f"{call}: labels must be whole numbers, one for each image")
    if len(targets) and not (targets.min() >= 0 and targets.max() < classes):
        raise KdzooError(
            f"{call}: labels from {targets.min()} to {targets.max()}, and {classes} classes have 0 to {classes - 1}"
        )
    return targets.astype(np.int64)


def _stack(images: Any, call: str) -> Pixels | None:
    """All images as one array (n, H, W, C); None where they come one by one."""
    if not isinstance(images, np.ndarray) or images.dtype == object:
        return None
    stack = images[..., None] if images.ndim == 3 else images
    if stack.dtype != np.uint8 or stack.ndim != 4 or stack.shape[3] not in (1, 3):
        raise KdzooError(
            f"{call}: one array of images is (n, H, W) or (n, H, W, 1 or 3) uint8, not {images.dtype} {images.shape}"
        )
    return stack


def _listings(splits: Mapping[SplitName, _Checked], img_size: int | None) -> dict[SplitName, Listing]:
    """Arrays stay as they are, with one channel or three, if every split is one; else all are read one by one."""
    stacks = {name: one.stack for name, one in splits.items() if one.stack is not None}
    channels = {stack.shape[3] for stack in stacks.values()}
    if len(stacks) < len(splits) or len(channels) > 1:
        return {name: SampleListing(one.images, one.targets, one.keys) for name, one in splits.items()}
    side = img_size or usual_side((stack.shape[2], stack.shape[1]) for stack in stacks.values())
    return {
        name: ArrayListing(one.what, _of_side(stacks[name], side), one.targets, one.keys)
        for name, one in splits.items()
    }


def _of_side(stack: Pixels, side: int) -> Pixels:
    """(n, side, side, C): the shorter side resized (bicubic), the centre cut out."""
    if stack.shape[1:3] == (side, side):
        return np.ascontiguousarray(stack)
    fitted = [
        np.asarray(ImageOps.fit(as_image(one), (side, side), Image.Resampling.BICUBIC)).reshape(
            side, side, -1
        )
        for one in stack
    ]
    return np.stack(fitted)


def _nothing_like(other: Listing) -> Listing:
    """A listing without samples, of the same form."""
    nothing = np.zeros(0, np.int64)
    if isinstance(other, ArrayListing):
        return ArrayListing("withheld", other.images[:0], nothing)
    return SampleListing((), nothing, ())
