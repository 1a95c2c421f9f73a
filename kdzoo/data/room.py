"""Whether what a configuration asks for fits into this machine's memory at all."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped]  # psutil has no types

from kdzoo.errors import KdzooError


def check_room(what: str, count: int, side: int, sample_bytes: int) -> None:
    """Refuse images that no memory of this machine could hold.

    Args:
        what: the images, named in the error.
        count: of images.
        side: in pixels.
        sample_bytes: that a pixel of one image takes.

    Raises:
        KdzooError: they are larger than the machine's memory.
    """
    wanted, there = count * side**2 * sample_bytes, psutil.virtual_memory().total
    if wanted > there:
        raise KdzooError(
            f"{what}: {count} images of {side} x {side} pixels take {wanted / 1e9:.0f} GB, and this machine has "
            f"{there / 1e9:.0f} GB of memory; use a smaller data.img_size or data.batch_size"
        )
