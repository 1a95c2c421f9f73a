"""How images are prepared for evaluation, in timm's terms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """What ``timm.data.create_transform(is_training=False)`` does before it normalises.

    Attributes:
        crop_pct: the shorter side is resized to floor(side / crop_pct), then the centre is cut out.
        interpolation: a name of timm's, of Pillow's filters.
        crop_mode: ``center``; ``squash``, which resizes both sides and so changes the aspect ratio; or ``border``,
            which resizes the longer side and pads the shorter one.
        mean: the colour that ``border`` pads with, in [0, 1]; otherwise left as it is.
    """

    crop_pct: float = 0.875
    interpolation: str = "bicubic"
    crop_mode: str = "center"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)


TIMM = Evaluation()
"""The default of timm."""

WHOLE = Evaluation(crop_pct=1.0)
"""Nothing is cut off square images."""
