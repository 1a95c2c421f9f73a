"""Any timm model as a network that shows logits, stages and embedding without a layer being named."""

from kdzoo.api.network import Backbone
from kdzoo.backbone.build import build_backbone

__all__ = ["Backbone", "build_backbone"]
