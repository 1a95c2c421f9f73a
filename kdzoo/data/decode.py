"""From files to pixels: one image, and many at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kdzoo.data.listing import Listing, Pixels
from kdzoo.errors import KdzooError

Progress = Callable[[str, int, int], None]
"""Called with a label, the number of images done and their total."""

Sizes = NDArray[np.int32]
"""(n, 2): widths and heights in pixels."""

Made = TypeVar("Made")

_CHUNK = 64
_TINY_SECONDS = 5e-4
_SNIFFED = 256
_TURNED, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # EXIF's orientation, and its values that swap width and height
_OWN_SIZE_LIMIT = 256
USUAL_SIDE = 224
"""In pixels, of photographs."""


def fit(image: Image.Image, size: int) -> Pixels:
    """An image as (size, size, 3) uint8: upright, RGB, the shorter side resized (bicubic), the centre cut out.

    One that has this size already keeps its pixels. A photograph is decoded at a reduced scale of at least
    twice ``size`` where its format allows, which costs a fraction of the time.
    """
    image = upright(image, 2 * size)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


def upright(image: Image.Image, least: int | None = None) -> Image.Image:
    """Turned as its EXIF data says, in RGB; decoded at a reduced scale that leaves each side ``least`` pixels."""
    form = image.format  # a turned copy has none
    if least is not None:
        image.draft("RGB", (least, least))
    if _may_be_turned(image):
        image = ImageOps.exif_transpose(image)
    return _rgb(image, form)


def true_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image as it is seen upright, by its header; before it is decoded."""
    width, height = image.size
    return (
        (height, width)
        if _may_be_turned(image) and image.getexif().get(_TURNED) in _SIDEWAYS
        else (width, height)
    )


def _may_be_turned(image: Image.Image) -> bool:
    # reading the EXIF data of a JPEG that has none would cost as much as decoding a small one
    return image.format != "JPEG" or "exif" in image.info


def _rgb(image: Image.Image, form: str | None) -> Image.Image:
    """RGB; what is transparent lies on white, whatever colour the file hides there."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image, form)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode != "RGB":
        return image.convert("RGB")
    image.load()  # convert would copy it, too
    return image


def _eight_bits(image: Image.Image, form: str | None) -> Image.Image:
    """16 bits, or floating-point numbers in 0..1, as 8 bits; Pillow would clip them.

    Raises:
        ValueError: nothing says which value is white.

    """
    values = np.asarray(image)
    if image.mode.startswith("I;16") or form == "PPM":  # a .pgm of 16 bits is read as mode I
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F" and values.min() >= 0 and values.max() <= 1:
        return Image.fromarray((values * 255).round().astype(np.uint8))
    what = "32-bit numbers" if image.mode == "I" else "floating-point numbers outside 0..1"
    raise ValueError(f"{what}, and nothing says which is white; store 8 or 16 bits, or 0..1")


def read(listing: Listing, row: int, make: Callable[[Image.Image], Made]) -> Made | str:
    """What is made of one sample's image, or why it cannot be read."""
    try:
        with listing.load(row) as image:
            return make(image)
    except MemoryError:
        raise
    except Exception as error:  # on broken bytes Pillow's decoders raise nearly anything
        reason = str(error).replace(f" {listing.names[row]!r}", "")  # whoever reports it names the file
        return f"{type(error).__name__}: {reason}"


def decode(
    listing: Listing,
    rows: Sequence[int],
    form: Callable[[Image.Image], Pixels],
    into: Pixels,
    workers: int,
    report: Callable[[int], None],
    sizes: Sizes | None = None,
) -> dict[int, str]:
    """Fill ``into`` (len(rows), size, size, 3) with these rows, in threads.

    Threads suffice: Pillow decodes and resizes outside the interpreter's lock. Tiny images spend most of their
    time inside it and are decoded by one thread (CIFAR-10's in 0.15 ms each; two threads took a third longer).

    Args:
        listing: where the images are.
        rows: which of them.
        form: from an opened image to its pixels.
        into: takes the pixels; a sample that cannot be read is left as it is.
        workers: number of threads at most.
        report: called with the number of images done so far.
        sizes: takes the widths and heights of the upright images.

    Returns:
        Row -> reason for each sample that cannot be read.

    """
    bad: dict[int, str] = {}

    def make(image: Image.Image) -> tuple[Pixels, tuple[int, int]]:
        size = (0, 0) if sizes is None else true_size(image)
        return form(image), size

    def chunk(start: int) -> int:
        stop = min(start + _CHUNK, len(rows))
        for position in range(start, stop):
            made = read(listing, rows[position], make)
            if isinstance(made, str):
                bad[rows[position]] = made
                continue
            into[position], size = made
            if sizes is not None:
                sizes[position] = size
        return stop - start

    started = time.thread_time()
    done = chunk(0)
    report(done)
    tiny = time.thread_time() - started < _TINY_SECONDS * done
    pool = ThreadPoolExecutor(1 if tiny else max(1, workers), thread_name_prefix="decode")
    try:
        for count in pool.map(chunk, range(_CHUNK, len(rows), _CHUNK)):
            done += count
            report(done)
    finally:  # an interrupt does not wait for the images that are still to come
        pool.shutdown(cancel_futures=True)
    return dict(sorted(bad.items()))


def unreadable(
    listing: Listing, rows: Sequence[int], workers: int, report: Callable[[int], None]
) -> dict[int, str]:
    """Row -> reason for each sample that cannot be read; nothing is kept, and JPEGs are decoded at an eighth."""

    def look(image: Image.Image) -> Pixels:
        upright(image, 1)
        return np.empty((0, 0, 3), np.uint8)

    return decode(listing, rows, look, np.empty((len(rows), 0, 0, 3), np.uint8), workers, report)


def usual_side(sizes: Iterable[tuple[int, int]]) -> int:
    """The side that images of these sizes have if they are square, alike and at most 256 px, else 224."""
    return own_side(sizes) or USUAL_SIDE


def own_side(sizes: Iterable[tuple[int, int]]) -> int | None:
    """The side of images that are square, alike and at most 256 px; None for photographs, which are not."""
    sides = {width if width == height else 0 for width, height in sizes}
    side = sides.pop() if len(sides) == 1 else 0
    return side if 0 < side <= _OWN_SIZE_LIMIT else None


def sniff_side(listings: Sequence[Listing]) -> int | None:
    """:func:`own_side` by the headers of up to 256 images spread over the listings; broken ones do not count."""
    stride = max(1, sum(len(listing.names) for listing in listings) // _SNIFFED)
    sizes = set()
    for listing in listings:
        for row in range(0, len(listing.names), stride):
            with suppress(Exception), listing.load(row) as image:  # as in read
                sizes.add(image.size)
    return own_side(sizes)


def check_readable(bad: dict[str, str], total: int, tolerated: float, what: str) -> None:
    """Refuse if more than ``tolerated`` (a part) of ``total`` images could not be read.

    Raises:
        KdzooError: with the names of the first few.

    """
    if len(bad) > tolerated * total:
        first = "; ".join(f"{name} ({reason})" for name, reason in list(bad.items())[:3])
        raise KdzooError(
            f"{len(bad)} of {total} images of {what} cannot be read, more than data.bad_images = {tolerated:g} "
            f"accepts: {first}{'; ...' if len(bad) > 3 else ''}"
        )
