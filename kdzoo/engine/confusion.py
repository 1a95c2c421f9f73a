"""A confusion matrix as a picture, drawn without matplotlib, whose import takes longer than a small run's epoch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

MOST_CLASSES = 50
"""That a picture has room for."""

_WITH_NUMBERS = 20
_NAME = 24
"""Letters of a class name that are shown."""

_SURE = torch.tensor([8, 69, 148])
"""The colour of a cell that has all samples of its class; one with none is white."""


def confusion_picture(confusion: Tensor, classes: Sequence[str]) -> Tensor:
    """(1, 3, H, W) in [0, 1]: a row for each true class, a column for each predicted one, in order of their ids.

    A cell is as dark as its share of the row's samples is large; up to 20 classes it has their number, too.

    Args:
        confusion: (K, K) counts.
        classes: (K,) names.
    """
    number = len(classes)
    side = 40 if number <= _WITH_NUMBERS else 20
    font = ImageFont.load_default(14)
    names = [name if len(name) <= _NAME else f"{name[: _NAME - 3]}..." for name in classes]
    margin = 40 + round(max(font.getlength(name) for name in names))
    share = confusion.double() / confusion.sum(dim=1, keepdim=True).clamp(min=1)
    colors = (255 + share[..., None] * (_SURE - 255)).round().byte().numpy()
    cells = Image.fromarray(colors).resize((number * side, number * side), Image.Resampling.NEAREST)
    sheet = Image.new("RGB", (margin + cells.width + 10, margin + cells.height + 10), "white")
    sheet.paste(cells, (margin, margin))
    # Columns are named by rows of text on a sheet that is turned by a quarter.
    turned = Image.new("RGB", (margin, cells.width), "white")
    draw, draw_turned = ImageDraw.Draw(sheet), ImageDraw.Draw(turned)
    for place, name in enumerate(names):
        middle = place * side + side // 2
        draw.text((margin - 6, margin + middle), name, "black", font, anchor="rm")
        draw_turned.text((6, middle), name, "black", font, anchor="lm")
    sheet.paste(turned.transpose(Image.Transpose.ROTATE_90), (margin, 0))
    if number <= _WITH_NUMBERS:
        for (row, column), count in (
            (one, int(confusion[tuple(one)])) for one in confusion.nonzero().tolist()
        ):
            color = "white" if share[row, column] > 0.5 else "black"
            at = (margin + column * side + side // 2, margin + row * side + side // 2)
            draw.text(at, str(count), color, font, anchor="mm")
    draw.text((6, 6), "true \\ predicted", "black", font)
    picture: Tensor = pil_to_tensor(sheet)[None] / 255
    return picture
