"""Noise as data, as plugins import it."""

from kdzoo.data.noise import Noise

__all__ = ["Noise"]
