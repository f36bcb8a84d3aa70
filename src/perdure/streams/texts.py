"""Texts as rows of bytes, so that they lie in a tensor like any other input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from perdure.errors import InvalidValue


def text_rows(texts: Sequence[str], length: int | None = None) -> Tensor:  # (n, length)
    """The UTF-8 bytes of each text, uint8, padded with zeros: what the live loop's schema keeps.

    Args:
        texts: n of them.
        length: bytes a row; None takes those of the longest text.

    Raises:
        InvalidValue: there is no text, one is longer than `length` or holds a NUL character.

    Example:
        >>> text_rows(["hi", "você"]).tolist()
        [[104, 105, 0, 0, 0], [118, 111, 99, 195, 170]]
    """
    encoded = [text.encode() for text in texts]
    longest = max(map(len, encoded), default=0)
    length = longest if length is None else length
    if not longest or longest > length:
        raise InvalidValue(
            f"the longest text takes {longest} bytes; it must take some, and no more than {length}"
        )
    for row, text in enumerate(encoded):
        if 0 in text:
            raise InvalidValue(f"text {row} holds a NUL character, which is padding; leave it out")
    joined = b"".join(text.ljust(length, b"\0") for text in encoded)
    return torch.from_numpy(np.frombuffer(joined, np.uint8).reshape(len(encoded), length).copy())
