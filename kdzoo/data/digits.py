"""The embedded default: scikit-learn's 1,797 scanned digits of 8x8 pixels, UCI's test set of optical digits."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.listing import Source
from kdzoo.data.room import check_room

IMG_SIZE = 32

_BYTES = 10
"""Of a pixel while it is enlarged: two floats and two copies of the byte that it becomes."""


def read(img_size: int) -> Source:
    """1,257 training and 540 test images, (n, img_size, img_size, 1); the division never changes."""
    # Only here: the import takes a second, which a run on one's own pictures need not wait for.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    scans, targets = load_digits(return_X_y=True)
    check_room("data.img_size", len(scans), img_size, _BYTES)
    grey = torch.as_tensor(scans, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    large = F.interpolate(grey, size=(img_size, img_size), mode="bilinear", align_corners=False)
    images = (large * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    train, test, train_targets, test_targets = train_test_split(
        images, targets, test_size=0.3, random_state=0, stratify=targets
    )
    return Source(
        train=ArrayListing("digits train", train, train_targets),
        val=None,
        test=ArrayListing("digits test", test, test_targets),
        classes=tuple("0123456789"),
    )
