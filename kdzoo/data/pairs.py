"""A second image tree whose files show the same things as the first one's, by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from kdzoo.data.file_listing import FolderListing
from kdzoo.data.folder import images_below
from kdzoo.data.listing import Listing, Source
from kdzoo.errors import KdzooError

_SHOWN = 3


@dataclass(frozen=True)
class Pairs:
    """The partners of a source.

    Attributes:
        source: row by row what the first source has; a row without a partner names a file that is not there.
        alone: listing name -> rows without a partner.

    """

    source: Source
    alone: Mapping[str, Collection[int]]


def match(modality: str, root: Path, first: Source, tolerated: float) -> Pairs:
    """Find the partner of each image: the same split folder, class and name, whatever the suffix.

    Args:
        modality: names the partners in messages.
        root: the second tree.
        first: an image folder.
        tolerated: largest part of a split's images without a partner; they are to be left out.

    Raises:
        KdzooError: the first is no folder, the second is missing, too many images have no partner, or one has two.

    """
    what = f"data.paired.{modality} {root}"
    if not root.is_dir():
        raise KdzooError(f"{what} is not a folder; accepted: a tree with the files of the first, by name")
    notes: list[str] = []
    alone: dict[str, Collection[int]] = {}

    def partners(name: str, listing: Listing) -> FolderListing:
        if not isinstance(listing, FolderListing):
            raise KdzooError(
                f"{what}: pairs are matched by file names, and only an image folder (data.data_dir) has them; "
                "data.computed makes a second modality of any data set"
            )
        files = _by_stem(what, root, listing.split)
        stems = [_stem(key) for key in listing.keys]
        if len(set(stems)) < len(stems):
            twice = next(stem for stem in stems if stems.count(stem) > 1)
            raise KdzooError(f"{what}: {listing.root} has two images named {twice}, and pairs go by name")
        missing = [row for row, stem in enumerate(stems) if stem not in files]
        spare = files.keys() - set(stems)
        if missing or spare:
            said = (
                f"{what}: {len(missing)} of {len(stems)} images of {listing.root.name}/ have no partner"
                f"{_some([listing.keys[row] for row in missing])}, {len(spare)} partners have no image"
                f"{_some(sorted(spare))}"
            )
            if len(missing) > tolerated * len(stems):
                raise KdzooError(f"{said}; more than data.bad_images = {tolerated:g} accepts")
            notes.append(f"{said}; they are left out")
        alone[name] = missing
        found = [files.get(stem, str(root / listing.split / stem)) for stem in stems]
        return FolderListing(root / listing.split, found, listing.targets, listing.split)

    val = None if first.val is None else partners("val", first.val)
    source = replace(first, train=partners("train", first.train), val=val, test=partners("test", first.test))
    return Pairs(replace(source, notes=tuple(notes)), alone)


def _by_stem(what: str, root: Path, split: str) -> dict[str, str]:
    folder = root / split
    if not folder.is_dir():
        raise KdzooError(f"{what} has no {split}/, which the first tree has")
    found: dict[str, str] = {}
    for key, file in images_below(folder).items():
        before = found.setdefault(_stem(key), file)
        if before != file:
            raise KdzooError(
                f"{what}: {before} and {file} are both partners of {_stem(key)}; keep one of them"
            )
    return found


def _stem(key: str) -> str:
    return str(PurePosixPath(key).with_suffix(""))


def _some(names: list[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return f" ({', '.join(names[:_SHOWN])}{more})" if names else ""
