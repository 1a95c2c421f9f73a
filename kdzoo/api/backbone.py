"""The wrapper around a timm model that every network role has."""

from kdzoo.backbone.network import Backbone

__all__ = ["Backbone"]
