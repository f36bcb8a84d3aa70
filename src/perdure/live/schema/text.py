"""Features that are a text: its UTF-8 bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perdure.live.refusals import RowRefused
from perdure.live.schema.form import Bytes


@dataclass(frozen=True)
class TextForm:
    """Texts of at most `length` bytes of UTF-8, padded with zeros.

    Args:
        length: in bytes.
    """

    length: int

    @property
    def row_bytes(self) -> int:
        """The length of every encoded row."""
        return self.length

    def encode_many(self, features: Any) -> Bytes:  # (n, length)
        """Check and encode n strings."""
        padded = [
            self._bytes(text, row).ljust(self.length, b"\0") for row, text in enumerate(features)
        ]
        return np.frombuffer(b"".join(padded), np.uint8).reshape(len(padded), self.length).copy()

    def decode(self, rows: Bytes) -> Tensor:  # (n, length)
        """The bytes of each text, uint8; 0 is padding."""
        return torch.from_numpy(np.array(rows, np.uint8))

    def example(self) -> Any:
        """A short text."""
        return "an example"[: self.length]

    def describe(self) -> str:
        """The greatest length."""
        return f"texts of at most {self.length} bytes"

    def _bytes(self, text: Any, row: int) -> bytes:
        if not isinstance(text, str):
            raise RowRefused("give a string", field="features", value=text, row=row)
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            reason = f"character {error.start} is half of a surrogate pair; give valid Unicode"
            raise RowRefused(reason, field="features", value=text, row=row) from None
        if len(data) > self.length:
            reason = f"it takes {len(data)} bytes of UTF-8 and the schema allows {self.length}"
            raise RowRefused(f"{reason}; shorten it", field="features", value=text, row=row)
        if 0 in data:
            # Zeros are padding: with one inside, two texts could be the same row.
            reason = "it holds a NUL character; leave that out"
            raise RowRefused(reason, field="features", value=text, row=row)
        return data
