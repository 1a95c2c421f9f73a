"""Files that are there twice: in two splits, or under two labels."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from kdzoo.counter_rng import key, permutation
from kdzoo.data.counted import counted
from kdzoo.data.file_listing import FolderListing
from kdzoo.data.listing import Source

MOST = 150_000
"""Files that are opened at most. Of a larger set a sample of the test and validation files is looked for."""

_SAMPLE = 1000
_PROBE = 256
"""Bytes from the middle of a file: photographs of one camera begin and end alike."""


class _File(NamedTuple):
    split: str
    label: int
    path: str
    size: int


Group = Sequence[_File]


def duplicates(source: Source, most: int = MOST) -> list[str]:
    """A warning for each kind of identical files, with their number and two examples; only folders are looked into.

    Contents are compared byte by byte, by hashes. A file is opened if another one has the same size, and read whole
    if a part of its middle is the same, too.

    Args:
        source: the data set.
        most: files that are opened at most.

    """
    files, sampled = _candidates(source, most)
    same = list(_alike(_alike([files], _middle), _content))
    found = [*_leaks(same, sampled), *_contradictions(same, source.classes)]
    if source.val is None and not sampled:
        found += _copies(same)
    return found


def _candidates(source: Source, most: int) -> tuple[list[_File], int]:
    """The files that share their size with another; if they are too many, of how many held-out files alone."""
    listings = {"train": source.train, "val": source.val, "test": source.test}
    folders = [(name, one) for name, one in listings.items() if isinstance(one, FolderListing)]
    if not folders:
        return [], 0
    split = np.repeat(np.arange(len(folders)), [len(one.names) for _, one in folders])
    sizes = np.asarray([size for _, one in folders for _, size, _ in one.facts], np.int64)
    _, kind, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    wanted, sampled = (counts[kind] > 1) & (sizes > 0), 0
    if wanted.sum() > most:
        held_out = np.flatnonzero(split > 0)
        chosen = held_out[permutation(key("duplicates", 0), torch.arange(len(held_out)))[:_SAMPLE].numpy()]
        wanted &= np.isin(kind, kind[chosen])
        wanted[held_out] = False
        wanted[chosen] = True
        sampled = len(chosen)
    rows = np.flatnonzero(wanted).tolist()
    start = np.searchsorted(split, np.arange(len(folders))).tolist()
    files = []
    for row in rows:
        name, one = folders[split[row]]
        place = row - start[split[row]]
        files.append(_File(name, int(one.targets[place]), one.names[place], int(sizes[row])))
    return files, sampled


def _alike(groups: Iterable[Group], about: Callable[[_File], Hashable]) -> Iterator[Group]:
    """The files of each group about which the same is true, where these are two or more."""
    for group in groups:
        found: dict[Hashable, list[_File]] = defaultdict(list)
        for one in group:
            try:
                found[about(one)].append(one)
            except OSError:  # decoding will find it unreadable
                continue
        yield from (same for same in found.values() if len(same) > 1)


def _middle(one: _File) -> tuple[int, bytes]:
    file = os.open(one.path, os.O_RDONLY)
    try:
        return one.size, os.pread(file, _PROBE, one.size // 2)
    finally:
        os.close(file)


def _content(one: _File) -> bytes:
    with open(one.path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _leaks(same: Iterable[Group], sampled: int) -> Iterator[str]:
    """Files of a split that is measured on which are in another one."""
    same = list(same)
    for held_out, other in (("test", "train"), ("val", "train"), ("test", "val")):
        pairs = [
            (one, twin)
            for group in same
            if (twin := next((one for one in group if one.split == other), None)) is not None
            for one in group
            if one.split == held_out
        ]
        if pairs:
            of = f" of {sampled} held-out images that were looked at" if sampled else ""
            examples = ", ".join(f"{one.path} is {two.path}" for one, two in pairs[:2])
            yield (
                f"{counted(len(pairs), f'{held_out} image')}{of} {_are(pairs)} in {other} too, byte for byte, so "
                f"that accuracies are too high: {examples}"
            )


def _contradictions(same: Iterable[Group], classes: Sequence[str]) -> Iterator[str]:
    """Files with the same content and another label."""
    torn = [labels for group in same if len(labels := _labels(group)) > 1]
    if torn:
        examples = (
            ", ".join(f"{one.path} ({classes[one.label]})" for one in labels[:2]) for labels in torn[:2]
        )
        yield f"{counted(len(torn), 'image')} {_are(torn)} there with more than one label: {'; '.join(examples)}"


def _labels(group: Group) -> Group:
    """The first file with each label."""
    found: dict[int, _File] = {}
    for one in group:
        if one.label >= 0:
            found.setdefault(one.label, one)
    return list(found.values())


def _copies(same: Iterable[Group]) -> Iterator[str]:
    """Training files that are there twice, which a validation split cut from train may have too."""
    train = [[one for one in group if one.split == "train"] for group in same]
    again = [group for group in train if len(group) > 1]
    if again:
        number = sum(len(group) - 1 for group in again)
        yield (
            f"{counted(number, 'training image')} {'is a copy' if number == 1 else 'are copies'} of others, and "
            f"validation, which is cut from train, may repeat them: {again[0][1].path} is {again[0][0].path}"
        )


def _are(found: Sequence[object]) -> str:
    return "is" if len(found) == 1 else "are"
