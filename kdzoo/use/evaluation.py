"""An evaluation for readers: as plain data, as lines for a terminal, as a page."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from typing import Any

from PIL import Image
from torchvision.transforms.functional import to_pil_image

from kdzoo.data.counted import counted
from kdzoo.data.listing import Pixels
from kdzoo.engine.confusion import MOST_CLASSES, confusion_picture
from kdzoo.page import render_page
from kdzoo.use.data import Labelled
from kdzoo.use.measure import Measured, Pass, majority
from kdzoo.use.words import percent, printable, shortened

NAMES = {
    "accuracy": "accuracy",
    "top5": "top-5 accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "ece": "calibration error (ECE)",
}
ABOUT = (
    "Accuracy counts every picture alike, so it says little where one class has most of them; balanced accuracy (the "
    "mean recall of the classes) and macro F1 count every class alike. Always naming the "
    "largest class is what a network must beat."
)
_TINY = 96
_PAIRS = 10


def as_data(result: Pass, data: Labelled) -> dict[str, Any]:
    """Everything as plain data."""
    [one] = result.models
    largest, baseline = majority(result.targets, data.classes)
    return {
        "model": one.model.name,
        "data": data.what,
        "pictures": len(result.targets),
        **one.figures(),
        "majority": {"class": largest, **baseline},
        "classes": one.by_class(data.classes),
        "confusion": one.counts.confusion.long().tolist(),
        "unreadable": result.unreadable,
        "unlabelled": result.unlabelled,
    }


def lines(result: Pass, data: Labelled, width: int) -> Iterator[str]:
    """The figures, and those of each class, in so many columns."""
    [one] = result.models
    largest, baseline = majority(result.targets, data.classes)
    room = max(width - 42, 12)
    yield f"{one.model.name}: {len(result.targets)} pictures, {data.what}"
    yield f"{'in percent':26}{'':>8}  always {shortened(largest, max(width - 44, 8))}"
    for key, value in one.figures().items():
        beside = percent(baseline[key]) if key in baseline else ""
        yield f"{NAMES[key]:26}{percent(value):>8}  {beside:>8}".rstrip()
    yield ""
    yield f"{'class':{room}}{'pictures':>9} {'recall':>9} {'precision':>10} {'F1':>9}"
    for row in one.by_class(data.classes):
        figures = f"{percent(row['recall']):>9} {percent(row['precision']):>10} {percent(row['f1']):>9}"
        yield f"{shortened(row['class'], room):{room}}{row['pictures']:>9} {figures}"


def page(result: Pass, data: Labelled) -> str:
    """One HTML file that loads nothing."""
    [one] = result.models
    largest, baseline = majority(result.targets, data.classes)
    figures = one.figures()
    how = one.model.description.preprocessing
    lead = (
        f"{percent(figures['accuracy'])} % of {len(result.targets)} pictures are named rightly "
        f"({data.what}); always naming {largest} would be right for {percent(baseline['accuracy'])} %."
    )
    facts = [
        ("Network", f"{one.model.description.architecture}, {one.model.bytes / 1e6:.2f} MB"),
        ("Pictures", f"{data.what}; {len(data.classes)} classes"),
        (
            "Preprocessing",
            f"{' x '.join(map(str, how.input_size[1:]))} pixels, crop_pct {how.crop_pct:g} ({how.crop_mode}), "
            f"{how.interpolation}",
        ),
        *(("Note", note) for note in data.notes),
    ]
    small = 0 < len(data.classes) <= MOST_CLASSES
    return render_page(
        "kdzoo.use",
        "evaluation.html.jinja",
        {"percent": percent},
        title=f"{one.model.name} - kdzoo evaluation",
        name=one.model.name,
        lead=lead,
        notes=notes(result),
        majority=largest,
        figures=[
            {"name": NAMES[key], "value": value, "baseline": baseline.get(key)}
            for key, value in figures.items()
        ],
        about_figures=ABOUT,
        confusion=_confusion(one, data) if small else "",
        pairs=_pairs(one, data),
        mistakes=[
            {
                "picture": _embedded(mistake.pixels),
                "tiny": max(mistake.pixels.shape[:2]) < _TINY,
                "true": mistake.true,
                "found": mistake.found,
                "percent": 100 * mistake.confidence,
                "name": printable(os.path.basename(mistake.name)),
            }
            for mistake in one.mistakes
        ],
        classes=one.by_class(data.classes),
        bins=list(_bins(one)),
        facts=facts,
        unreadable={printable(name): reason for name, reason in result.unreadable.items()},
    )


def notes(result: Pass) -> list[str]:
    """What a reader must know before the figures."""
    said = []
    if result.unreadable:
        said.append(f"{counted(len(result.unreadable), 'picture')} cannot be read, and count for nothing.")
    if result.unlabelled:
        said.append(f"{counted(result.unlabelled, 'picture')} without a label count for nothing.")
    return said


def _pairs(one: Measured, data: Labelled) -> list[dict[str, Any]]:
    """The most frequent pairs of a true and a named class."""
    confusion = one.counts.confusion.long()
    found = [
        (number, row, column)
        for row, numbers in enumerate(confusion.tolist())
        for column, number in enumerate(numbers)
        if number and row != column
    ]
    sizes = one.counts.labels.tolist()
    return [
        {"true": data.classes[row], "found": data.classes[column], "number": n, "share": 100 * n / sizes[row]}
        for n, row, column in sorted(found, key=lambda pair: (-pair[0], pair[1:]))[:_PAIRS]
    ]


def _bins(one: Measured) -> Iterator[dict[str, Any]]:
    """The bins of confidence that have pictures."""
    numbers, right, confidence = one.counts.bins.tolist()
    for place, number in enumerate(numbers):
        if number:
            ends = (round(100 * (place + end) / len(numbers)) for end in (0, 1))
            yield {
                "range": "–".join(map(str, ends)),
                "number": int(number),
                "confidence": 100 * confidence[place] / number,
                "right": 100 * right[place] / number,
            }


def _confusion(one: Measured, data: Labelled) -> str:
    return _url(to_pil_image(confusion_picture(one.counts.confusion, data.classes)[0]), "PNG")


def _embedded(pixels: Pixels) -> str:
    picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    return _url(picture, "PNG" if max(picture.size) < _TINY else "JPEG")


def _url(picture: Image.Image, form: str) -> str:
    """A picture as a URL, for a self-contained page."""
    made = io.BytesIO()
    picture.save(made, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(made.getvalue()).decode()}"
