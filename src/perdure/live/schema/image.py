"""Features that are a picture: a file, or its pixels."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from perdure.errors import require
from perdure.live.refusals import RowRefused, TooLarge
from perdure.live.schema.form import Bytes
from perdure.live.schema.numeric import as_numbers
from perdure.live.schema.tensor import TensorForm

FILES = ("PNG", "JPEG")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's name of the pixels by their number of channels."""
DEEP = ("I", "F")
"""Modes of more than 8 bits a channel begin with one of these; Pillow would clip them."""
MAX_PIXELS = 50_000_000
"""A small file may hold a picture that fills the memory; this many take 150 MB for a moment."""
TOO_MANY = f"a picture may have {MAX_PIXELS:,} pixels; make it smaller"


@dataclass(frozen=True)
class ImageForm:
    """Pictures of one size, uint8 (channels, height, width).

    A picture comes as a PNG or JPEG file (bytes, or base64 text, with or without `data:...,`
    before it), which is turned upright, converted and stretched to the size; or as its pixels,
    integers from 0 to 255 in nested lists or an array of exactly that shape. A grey one may leave
    out its one channel.

    Args:
        channels: 1 for grey, 3 for colour, 4 with transparency; others come as pixels only.
        height: in pixels.
        width: in pixels.
    """

    channels: int
    height: int
    width: int

    @property
    def row_bytes(self) -> int:
        """The length of every encoded row."""
        return self.channels * self.height * self.width

    def encode_many(self, features: Any) -> Bytes:  # (n, row_bytes)
        """Check and encode n pictures; an array of pixels (n, channels, height, width) is fastest.

        Raises:
            RowRefused: one is no picture, or of the wrong shape.
            TooLarge: one has more than `MAX_PIXELS`.
        """
        if isinstance(features, np.ndarray | Tensor):
            return self._pixels.encode_many(self._with_channel(features, 1))
        rows = [self._encode(picture, row) for row, picture in enumerate(features)]
        return np.concatenate([np.empty((0, self.row_bytes), np.uint8), *rows])

    def decode(self, rows: Bytes) -> Tensor:  # (n, channels, height, width)
        """The pixels, uint8."""
        return self._pixels.decode(rows)

    def example(self) -> Any:
        """A black picture, as base64 of a PNG file."""
        image = require("PIL.Image", "images")
        file = io.BytesIO()
        image.new(MODES.get(self.channels, "L"), (self.width, self.height)).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode()

    def describe(self) -> str:
        """Height, width and channels."""
        return f"images of {self.height} x {self.width} pixels, {self.channels} channel(s)"

    @property
    def _pixels(self) -> TensorForm:
        return TensorForm("uint8", (self.channels, self.height, self.width))

    def _encode(self, picture: Any, row: int) -> Bytes:  # (1, row_bytes)
        try:
            if isinstance(picture, str):
                picture = _from_base64(picture)
            if isinstance(picture, bytes | bytearray):
                picture = self._read(bytes(picture))
            return self._pixels.encode_many([self._with_channel(picture, 0)])
        except (RowRefused, TooLarge) as refused:
            raise refused.at(row) from None

    def _with_channel(self, pixels: Any, axis: int) -> Any:
        """The pixels (..., height, width) of grey pictures with their channel at `axis`."""
        array = as_numbers(pixels) if self.channels == 1 else None
        if array is None or array.shape[axis:] != (self.height, self.width):
            return pixels
        return np.expand_dims(array, axis)

    def _read(self, file: bytes) -> Bytes:  # (channels, height, width)
        image, operations = require("PIL.Image", "images"), require("PIL.ImageOps", "images")
        mode = MODES.get(self.channels)
        if mode is None:
            raise RowRefused(
                f"no file has {self.channels} channels; give the pixels as nested lists",
                field="features",
            )
        try:
            with image.open(io.BytesIO(file), formats=FILES) as picture:
                _check(picture.size, picture.mode)
                upright = operations.exif_transpose(picture).convert(mode)
        except (image.DecompressionBombError, image.DecompressionBombWarning):
            raise TooLarge(TOO_MANY, field="features") from None
        except (OSError, SyntaxError, ValueError) as error:
            raise RowRefused(
                f"it is no {' or '.join(FILES)} file that can be read: {error}",
                field="features",
                value=file,
            ) from None
        sized = upright.resize((self.width, self.height), image.Resampling.BILINEAR)
        pixels = np.asarray(sized, np.uint8).reshape(self.height, self.width, self.channels)
        return pixels.transpose(2, 0, 1)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise RowRefused(
            "a picture as text must be base64 of its file", field="features", value=text
        ) from None


def _check(size: tuple[int, int], mode: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise TooLarge(TOO_MANY, field="features", value=size)
    if mode.startswith(DEEP):
        raise RowRefused(
            f"the picture's pixels are of mode {mode}; save it with 8 bits a channel",
            field="features",
        )
