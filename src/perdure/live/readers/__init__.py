"""Rows out of files, in chunks: CSV, Parquet, JSON lines, NumPy archives, folders of images."""

from perdure.live.readers.formats import Record, count_rows, read_records
from perdure.live.readers.reading import read_rows

__all__ = ["Record", "count_rows", "read_records", "read_rows"]
