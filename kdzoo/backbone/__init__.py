"""Any timm model as a network that shows logits, stages and embedding without a layer being named."""

from kdzoo.api.network import Backbone
from kdzoo.backbone.build import build_backbone, find_model

__all__ = ["Backbone", "build_backbone", "find_model"]
