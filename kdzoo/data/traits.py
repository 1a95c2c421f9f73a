"""What becomes of pictures that are more than colours: transparency and animations."""

from __future__ import annotations

from contextlib import suppress

from kdzoo.data.counted import counted
from kdzoo.data.listing import Listing

_LOOKED_AT = 64


def traits(listing: Listing) -> list[str]:
    """A note if some of up to 64 images, spread over the listing, are transparent or animations."""
    rows = range(0, len(listing.names), max(1, len(listing.names) // _LOOKED_AT))[:_LOOKED_AT]
    transparent = animated = 0
    for row in rows:
        with suppress(Exception), listing.load(row) as image:  # decoding will find it unreadable
            transparent += image.has_transparency_data
            animated += getattr(image, "is_animated", False)
    said = []
    if transparent:
        said.append(
            f"{counted(transparent, 'transparent one')}, which {_become(transparent)} opaque on white"
        )
    if animated:
        said.append(f"{counted(animated, 'animation')}, of which the first frame is taken")
    return [f"of {counted(len(rows), 'image')} looked at: {'; '.join(said)}"] if said else []


def _become(number: int) -> str:
    return "becomes" if number == 1 else "become"
