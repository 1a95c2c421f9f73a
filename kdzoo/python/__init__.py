"""The commands from Python and notebooks: ``kdzoo.distill``, ``kdzoo.bench`` and ``kdzoo.load``."""

from kdzoo.python.load import LoadedRun, LoadedSuite, load
from kdzoo.python.suite import bench
from kdzoo.python.train import distill

__all__ = ["LoadedRun", "LoadedSuite", "bench", "distill", "load"]
