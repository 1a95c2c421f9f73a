"""The image folder: ``train/``, ``val/``, ``test/``, or images that come in no splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kdzoo.data.class_folders import ACCEPTED, find, in_order
from kdzoo.data.counted import some
from kdzoo.data.cut import cut, summary
from kdzoo.data.file_listing import NO_LABEL, Classes, listing_of
from kdzoo.data.listing import Source
from kdzoo.data.tree import tree
from kdzoo.errors import KdzooError
from kdzoo.recipe.data import DataConfig

VALIDATION = "val", "validation", "valid", "dev"
"""The names of a validation folder."""


def scan(data_dir: Path, config: DataConfig) -> Source:
    """Find the splits, the classes and the images of a folder.

    The class of an image is the path of the first ``config.class_depth`` folders below the split, so that folders of
    one name in different parents stay apart. Classes are numbered in timm's natural order. Where there is no
    ``test/``, the validation folder is the test split, as ImageNet-like folders are used, and a validation split
    is left to be cut from train. Class folders without any split folder are split: of each class a seeded
    ``config.test_fraction`` is the test split; so are pictures without classes.

    With ``config.withhold_train`` the training folder is not looked into, and may be missing: the classes are those
    of the other splits.

    Raises:
        KdzooError: a folder is missing or empty, images lie outside class folders, there is one class only, a
            class would vanish, or the classes differ between splits.

    """
    if not data_dir.is_dir():
        what = "is not a folder" if data_dir.exists() else "does not exist"
        raise KdzooError(f"data_dir {data_dir} {what}; accepted: {ACCEPTED}")
    class_depth = 0 if config.unlabelled else config.class_depth
    folders = sorted(one.name for one in data_dir.iterdir() if one.name[0] != "." and one.is_dir())
    validation = [name for name in folders if name in VALIDATION]
    held_out = validation + ["test"] * ("test" in folders)
    if not held_out and "train" not in folders:
        images, notes = find(data_dir, class_depth)
        return cut(data_dir, images, config, [*notes, f"{data_dir} has no train/ and test/"])
    if "train" not in folders and not config.withhold_train:
        raise KdzooError(f"data_dir {data_dir} has no train/; accepted: {ACCEPTED}")
    if len(validation) > 1:
        raise KdzooError(f"data_dir {data_dir} has both {'/ and '.join(validation)}/; keep one of them")

    splits = [*["train"] * (not config.withhold_train), *held_out]
    found = {split: find(data_dir / split, class_depth) for split in splits}
    notes = [note for _, said in found.values() for note in said]
    ignored = [f"{name}/" for name in folders if name not in ("train", *held_out)]
    if ignored:
        notes.append(f"{data_dir}: {some(ignored)} ignored; the splits are train/, {'/, '.join(held_out)}/")
    by_split: dict[str, Classes] = {split: images for split, (images, _) in found.items()}
    if not held_out:
        if NO_LABEL in by_split["train"]:
            return cut(
                data_dir / "train", by_split["train"], config, [*notes, f"{data_dir} has train/ alone"]
            )
        raise KdzooError(f"data_dir {data_dir} has neither test/ nor val/; accepted: {ACCEPTED}")
    return source_of(data_dir, by_split, config, notes, folders=True)


def source_of(
    root: Path, splits: Mapping[str, Classes], config: DataConfig, notes: Sequence[str], *, folders: bool
) -> Source:
    """A source of splits by name, of which there is one at least to test on.

    Args:
        root: the folder that all files are below.
        splits: train (unless it is withheld), test, one of validation, or both of these.
        config: of the data.
        notes: what the user should know already.
        folders: whether each split is a folder of its name.

    Raises:
        KdzooError: the classes differ between splits, and may not.

    """
    held_out = [name for name in splits if name != "train"]
    classes, missing = _common_classes(root, splits, config.allow_missing)
    train, *others = (
        listing_of(root, splits.get(split, {}), classes, split if folders else "")
        for split in ("train", *held_out)
    )
    if "test" not in held_out:
        mark = "/" if folders else ""
        told = f"{held_out[0]}{mark} is the test split, validation is cut from train{mark}"
        notes = [f"{root} has no test{mark}: {told}", *notes]
    notes = [*notes, *missing, summary(root, splits, classes)]
    return Source(train, others[0] if len(others) > 1 else None, others[-1], classes, tuple(notes))


def _common_classes(
    root: Path, splits: Mapping[str, Classes], allow_missing: bool
) -> tuple[tuple[str, ...], list[str]]:
    """The classes of the splits that have labels, and a note for each of these that lacks some.

    Raises:
        KdzooError: they differ, and may not; names the first split that differs from the one before it.

    """
    labelled = {split: images for split, images in splits.items() if set(images) != {NO_LABEL}}
    names = in_order({name: [] for images in labelled.values() for name in images if name != NO_LABEL})
    notes = []
    for split, images in labelled.items():
        lacking = [name for name in names if name not in images]
        if not lacking:
            continue
        if not allow_missing:
            raise KdzooError(_differ(root, labelled))
        notes.append(
            f"{root}: {split} has no image of {len(lacking)} of {len(names)} classes: {some(lacking)}"
        )
    return tuple(names), notes


def _differ(root: Path, splits: Mapping[str, Classes]) -> str:
    first, *others = splits
    for split in others:
        missing = [name for name in splits[first] if name not in splits[split]]
        extra = [name for name in splits[split] if name not in splits[first]]
        if missing or extra:
            break
    said = [f"{what} {some(names)}" for what, names in (("lacks", missing), ("adds", extra)) if names]
    return (
        f"{root}/{split} {' and '.join(said)}; accepted: the same class sub-folders with images in every split, or "
        "data.allow_missing"
    )


def images_below(root: Path) -> dict[str, str]:
    """Path below ``root`` -> the file, for every image there; names that begin with a dot are passed over."""
    return {name: f"{root}/{name}" for name in tree(root).images}
