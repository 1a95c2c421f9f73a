"""Discovery: which plugins are installed, which work, and which components they provide."""

from kdzoo.zoo.zoo import Zoo

__all__ = ["Zoo"]
