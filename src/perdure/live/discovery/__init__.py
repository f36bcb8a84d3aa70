"""A schema read off a sample of rows: what kind they are, their columns, sizes and classes."""

from perdure.live.discovery.discover import discover

__all__ = ["discover"]
