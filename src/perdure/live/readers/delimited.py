"""CSV files, read line by line with the standard library alone."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from perdure.errors import InvalidValue

DELIMITERS = ",;\t|"


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows under a header of unique names; the delimiter is the one most used in the header."""
    with _lines(path) as lines:
        header: list[str] = next(lines, [])
        _check(path, header)
        for cells in lines:
            if len(cells) == len(header):
                yield dict(zip(header, cells, strict=True))
            elif cells:  # csv reads an empty line as no cells at all
                raise InvalidValue(
                    f"{path}, line {lines.line_num}: {len(cells)} cells where the header has "
                    f"{len(header)}; quote cells that hold the delimiter"
                )


def count(path: Path) -> int:
    """Rows under the header, empty lines left out."""
    with _lines(path) as lines:
        return max(sum(1 for cells in lines if cells) - 1, 0)


@contextmanager
def _lines(path: Path) -> Iterator[Any]:
    # utf-8-sig leaves out the mark that spreadsheets put at the front.
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            header = file.readline()
            file.seek(0)
            yield csv.reader(file, delimiter=max(DELIMITERS, key=header.count), strict=True)
        except UnicodeDecodeError as error:
            raise InvalidValue(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
        except csv.Error as error:
            raise InvalidValue(f"{path} is no CSV file that can be read: {error}") from error


def _check(path: Path, header: list[str]) -> None:
    twice = [name for name in header if header.count(name) > 1]
    if not header or twice or "" in header:
        wrong = f"holds {twice[0]!r} more than once" if twice else "is empty or has an empty name"
        raise InvalidValue(f"{path}: the header {wrong}; name every column, once")
