"""Parquet files, read in batches of rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perdure.errors import InvalidValue, require

ROWS = 4096


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows, in order."""
    with _opened(path) as file:
        for batch in file.iter_batches(batch_size=ROWS):
            yield from batch.to_pylist()


def count(path: Path) -> int:
    """As the file's own index says."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def _opened(path: Path) -> Any:
    arrow, parquet = require("pyarrow", "tables"), require("pyarrow.parquet", "tables")
    try:
        return parquet.ParquetFile(path)
    except arrow.ArrowInvalid as error:
        raise InvalidValue(f"{path} is no Parquet file that can be read: {error}") from error
