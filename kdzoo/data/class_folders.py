"""The classes below one folder: the names of its sub-folders, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from timm.utils.misc import natural_key

from kdzoo.data.counted import by_suffix, counted, some
from kdzoo.data.file_listing import NO_LABEL, Classes
from kdzoo.data.formats import plugin_hint, suffixes
from kdzoo.data.tree import Tree, tree
from kdzoo.errors import KdzooError

ACCEPTED = (
    "a folder with train/ and test/ (or val/), each holding one sub-folder of images per class, or the class "
    "sub-folders alone, or pictures without classes"
)

_PICTURES = {"image", "images", "img", "imgs"}
_ANSWERS = {"annotation", "annotations", "label", "labels", "mask", "masks", "segmentation", "segmentations"}
"""Folders of an export for detection or segmentation, which are no classes."""


def find(root: Path, class_depth: int) -> tuple[dict[str, list[str]], list[str]]:
    """The classes below a folder with their files, and what the user should know of what was left out.

    Images that all lie in the folder itself have no class.

    Args:
        root: the folder.
        class_depth: so many folders below it name the class of an image; with 0 no image has a class.

    Raises:
        KdzooError: there are no images, some of them lie outside class folders, or a class would vanish.

    """
    below = tree(root)
    if not below.images:
        others = f" ({by_suffix(below.others)}{plugin_hint(below.others)})" if below.others else ""
        raise KdzooError(f"no images below {root}{others}; accepted: {ACCEPTED}, as {', '.join(suffixes())}")
    found: dict[str, list[str]] = {}
    for name in below.images:
        found.setdefault(_class(name, class_depth), []).append(f"{root}/{name}")
    notes: list[str] = []
    if NO_LABEL not in found:
        _check_vanished(root, below, class_depth, found)
        found = {name: found[name] for name in in_order(found)}
        _check_task(root, found)
        notes += _inner(root, below, class_depth, found)
    elif len(found) > 1 or class_depth > 1:
        where = (
            "any class sub-folder" if class_depth == 1 else f"data.class_depth = {class_depth} sub-folders"
        )
        raise KdzooError(
            f"{found[NO_LABEL][0]} lies outside {where}; accepted: {ACCEPTED} (data.unlabelled takes every picture, "
            "wherever it lies)"
        )
    elif class_depth:
        notes.append(f"{root}: no class sub-folders, so its pictures have no label")
    if below.others:
        notes.append(
            f"{root}: {counted(len(below.others), 'file')} left out by suffix: {by_suffix(below.others)}"
            f"{plugin_hint(below.others)}"
        )
    if below.again:
        notes.append(
            f"{root}: {counted(len(below.again), 'link')} left out, to what is there already: {some(below.again)}"
        )
    return found, notes


def in_order(names: Sequence[str] | dict[str, list[str]]) -> list[str]:
    """Class names in timm's natural order."""
    return sorted(names, key=lambda name: (natural_key(name), name))


def _class(name: str, depth: int) -> str:
    """The first ``depth`` folders of a path; empty if there are fewer."""
    parts = name.split("/")
    return "/".join(parts[:depth]) if len(parts) > depth else NO_LABEL


def _inner(root: Path, below: Tree, depth: int, found: dict[str, list[str]]) -> list[str]:
    inner = sorted({_class(name, depth + 1) for name in below.images} - {NO_LABEL})
    if not inner:
        return []
    return [
        f"{root}: classes are {some(list(found))}; the folders within them, such as {inner[0]}, are none "
        f"(data.class_depth {depth + 1} makes them classes)"
    ]


def _check_vanished(root: Path, below: Tree, depth: int, found: dict[str, list[str]]) -> None:
    """Refuse a class folder that holds files, and none that is taken."""
    for name in below.others:
        if (gone := _class(name, depth)) and gone not in found:
            inside = [other for other in below.others if _class(other, depth) == gone]
            raise KdzooError(
                f"{root}/{gone} holds no image that can be read ({by_suffix(inside)}), so its class would vanish; "
                f"remove the folder, or convert its files to one of {', '.join(suffixes())}{plugin_hint(inside)}"
            )
    for name in below.again:
        above = name.split("/")[:depth]
        is_class = len(above) == depth and not (os.path.isfile(f"{root}/{name}") and name.count("/") < depth)
        if is_class and "/".join(above) not in found:
            raise KdzooError(
                f"{root}/{name} is a link to what is there already, so the class {'/'.join(above)} would vanish; "
                "remove the link"
            )


def check_several(folders: Mapping[Path, Classes]) -> None:
    """Refuse one class in all of these folders.

    Raises:
        KdzooError: names the first of them.

    """
    names = {name for found in folders.values() for name in found} - {NO_LABEL}
    if len(names) == 1:
        (name,) = names
        root, count = next((root, len(found[name])) for root, found in folders.items() if name in found)
        raise KdzooError(
            f"{root} has the one class {name} ({counted(count, 'image')}), and there is nothing to tell "
            "apart; if the classes are folders further down, set data.class_depth; if there are none, data.unlabelled"
        )


def _check_task(root: Path, found: dict[str, list[str]]) -> None:
    """Refuse images beside their masks."""
    names = {name.lower() for name in found}
    if len(found) > 1 and names & _PICTURES and names - _PICTURES <= _ANSWERS:
        raise KdzooError(
            f"{root} holds {some(list(found))}: images beside their annotations, and no classes; "
            f"accepted: {ACCEPTED}"
        )
