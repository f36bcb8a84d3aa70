"""The protocol of a kind of features: four kinds of input, one way through the log."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Bytes = NDArray[np.uint8]


class Form(Protocol):
    """Features of one kind: from what a request holds to bytes of one length, and to tensors."""

    @property
    def row_bytes(self) -> int:
        """The length of every encoded row."""
        ...

    def encode_many(self, features: Any) -> Bytes:  # (n, row_bytes)
        """Check and encode the features of n rows.

        Raises:
            RowRefused: the first that does not fit; it names row, field and value.
        """
        ...

    def decode(self, rows: Bytes) -> Tensor:  # (n, ...)
        """The tensor that encoded rows (n, row_bytes) stand for; it shares no memory with them."""
        ...

    def example(self) -> Any:
        """Valid features of one row, as JSON may hold them."""
        ...

    def describe(self) -> str:
        """What a row is, in a few words."""
        ...
