"""Which logit stands for which class, for networks whose logits are not the data's classes in order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdzoo.api.assembled import Assembled
from kdzoo.api.batch import UNLABELLED
from kdzoo.api.run import Data
from kdzoo.backbone import Backbone


@dataclass(frozen=True, eq=False)
class Columns:
    """A network's logits and the data's classes.

    Attributes:
        classes: (columns,) int64, the data's class id of each logit.
        places: (K,) int64, the logit of each class; :data:`UNLABELLED` where the network has none.
    """

    classes: Tensor
    places: Tensor

    def of_classes(self, target: Tensor) -> Tensor:
        """(B,) class ids as places among the logits; :data:`UNLABELLED` stays, and stands for what is missing."""
        places = self.places.to(target.device)
        return places[target.clamp(min=0)].where(target != UNLABELLED, UNLABELLED)

    def in_order(self, values: Tensor) -> Tensor:
        """(K,) values of the classes in the order of the logits."""
        return values[self.classes.to(values.device)]

    def to_classes(self, column: Tensor) -> Tensor:
        """(B,) places among the logits as class ids."""
        return self.classes.to(column.device)[column]


def columns_of(module: nn.Module, data: Data) -> Columns | None:
    """The columns of a network whose class names differ from the data's in order or number; else None."""
    own = module.label_names if isinstance(module, Backbone | Assembled) else None
    if own is None or own == data.classes:
        return None
    number = {name: place for place, name in enumerate(data.classes)}
    if not set(own) <= set(number):
        return None  # a network for other classes; the code that enrolled it decides how it is used
    ids = torch.tensor([number[name] for name in own])
    places = torch.full((len(number),), UNLABELLED).index_put((ids,), torch.arange(len(ids)))
    return Columns(ids, places)
