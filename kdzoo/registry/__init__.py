"""The registry: published methods and benchmark suites, as data."""
