"""kdzoo: a plugin-based zoo of knowledge-distillation algorithms between any two timm backbones."""

from kdzoo.version import __version__

__all__ = ["__version__"]
