"""Files of one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perdure.errors import InvalidValue


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The objects, in order; empty lines are left out."""
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            yield _object(path, number, line)


def count(path: Path) -> int:
    """Lines that are not empty."""
    return sum(1 for line in _lines(path) if line.strip())


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{path}, line {number} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidValue(f"{path}, line {number} is no object; write {{...}} on each line")
    return found
