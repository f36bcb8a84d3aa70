"""Ids for rows that have none, so that a file may be read again.

A row's id is the digest of its content and the number of rows of the same content before it in its
file. Reading a file twice therefore names the same rows, and the log keeps them once; a file that
grew adds its new rows alone; lines may move. The label is no part of the content: one that is
filled in later belongs to the row that is there. Where equal rows of two files are two events,
give them ids or times, or an `origin` for each file.
"""

from __future__ import annotations

import json
from collections import Counter
from hashlib import blake2b
from typing import Any

import numpy as np


class Identity:
    """Ids by content, for one file.

    Args:
        origin: sets equal rows of different files apart.
    """

    def __init__(self, origin: str = "") -> None:
        self.origin = origin
        self._seen: Counter[bytes] = Counter()

    def of(self, content: Any) -> str:
        """The id of the next row.

        Args:
            content: all that the row says, its label left out.
        """
        said = json.dumps([self.origin, content], sort_keys=True, default=_plain)
        digest = blake2b(said.encode(), digest_size=16).digest()
        self._seen[digest] += 1
        return f"{digest.hex()}-{self._seen[digest] - 1}"


def _plain(value: Any) -> Any:
    """What JSON does not know: arrays and files by their digests."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value)
        return [str(data.dtype), data.shape, blake2b(data.tobytes(), digest_size=16).hexdigest()]
    if isinstance(value, bytes):
        return blake2b(value, digest_size=16).hexdigest()
    return str(value)
