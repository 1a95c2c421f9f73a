"""Images as users pass them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor

Images: TypeAlias = Tensor | Mapping[str, Tensor]
"""(B, C, H, W), or such a tensor for each modality."""


def by_modality(images: Images) -> dict[str, Tensor]:
    """The images of each modality; the usual one is ``image``."""
    return {"image": images} if isinstance(images, Tensor) else dict(images)
