"""The version of the core; every first-party plugin carries the same one."""

__version__ = "0.2.0"
