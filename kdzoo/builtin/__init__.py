"""The core's own components, provided through the same hooks as everybody else's."""
