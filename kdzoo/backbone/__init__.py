"""Any timm model as a network that shows logits, stages and embedding without a layer being named."""

from kdzoo.backbone.build import build_backbone
from kdzoo.backbone.network import Backbone

__all__ = ["Backbone", "build_backbone"]
