"""Which reader a path is for, by its ending."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from perdure.errors import InvalidValue
from perdure.live.readers import archive, delimited, folder, jsonlines, parquet

Record = dict[str, Any]
"""The cells of one row by column, as the file holds them."""


class Format(NamedTuple):
    """How files of one format are read and counted, and whether all rows have the same columns."""

    read: Callable[[Path], Iterator[Record]]
    count: Callable[[Path], int]
    headed: bool = True


CSV = Format(delimited.read, delimited.count)
PARQUET = Format(parquet.read, parquet.count)
JSON_LINES = Format(jsonlines.read, jsonlines.count, headed=False)
ARCHIVE = Format(archive.read, archive.count)
FOLDER = Format(folder.read, folder.count)

BY_ENDING = {
    ".csv": CSV,
    ".tsv": CSV,
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".npz": ARCHIVE,
}


def read_records(path: str | Path) -> Iterator[Record]:
    """The records of a file, or of a folder of images, one after another.

    Raises:
        InvalidValue: the path is not there, its ending is unknown, or its content is damaged.
        MissingExtra: it is a Parquet file and pyarrow is not installed.
    """
    return _format(Path(path)).read(Path(path))


def count_rows(path: str | Path) -> int:
    """How many rows `read_records` will yield; reads no more of the file than it must."""
    return _format(Path(path)).count(Path(path))


def has_header(path: str | Path) -> bool:
    """Whether every row of a file has every column, so that one that is missing is missing in all.

    A JSON line leaves out what it does not know.
    """
    return _format(Path(path)).headed


def _format(path: Path) -> Format:
    if path.is_dir():
        return FOLDER
    if not path.exists():
        raise InvalidValue(f"{path} is not there; give a file, or a folder of images")
    found = BY_ENDING.get(path.suffix.lower())
    if found is None:
        raise InvalidValue(
            f"{path} ends in {path.suffix or 'nothing'!r}; it must be a folder of images or end "
            f"in {', '.join(BY_ENDING)}"
        )
    return found
