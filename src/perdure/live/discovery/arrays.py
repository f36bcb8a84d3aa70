"""Texts, tensors and images: the sizes that a sample shows."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from statistics import fmean, median_low
from typing import Any

import numpy as np

from perdure.errors import InvalidValue, require
from perdure.live.discovery.sample import Sample
from perdure.live.schema.numeric import as_numbers

LONGEST_SIDE = 64
"""Of an image, in pixels; larger ones are made smaller for the small network to start with."""
OPENED = 100
"""Images that are opened to see their size."""
GREY = ("1", "L", "LA", "I", "I;16", "F")


def text(sample: Sample) -> dict[str, Any]:
    """Twice the room that the longest text needs.

    Raises:
        InvalidValue: no column holds texts.
    """
    lengths = {
        column: [len(cell.encode()) for cell in sample.cells(column) if isinstance(cell, str)]
        for column in sample.features
    }
    worded = {column: fmean(found) for column, found in lengths.items() if found}
    if not worded:
        raise InvalidValue(f"no column holds text: {', '.join(lengths) or 'none at all'}")
    column = sample.single if sample.single in worded else max(worded, key=lambda c: worded[c])
    if column != sample.single:
        sample.fields["features"] = column
        sample.said.append(f"column {column!r} holds the longest texts and is learnt from, alone")
    needed = 2 * max(lengths[str(column)])
    return {"length": min(max(2 ** (needed - 1).bit_length(), 64), 2**16)}


def tensor(sample: Sample) -> dict[str, Any]:
    """The shape of the first row; bytes stay bytes, other integers too, the rest is float32.

    Raises:
        InvalidValue: the first row is no array of numbers.
    """
    array = _first(sample)
    if array is None or not array.size:
        raise InvalidValue(
            "the first row holds no numbers; a tensor is an array, a list, or columns of numbers"
        )
    dtypes = {"u1": "uint8"} if array.dtype == np.uint8 else {}
    lists = not isinstance(sample.records[0].get(sample.single or ""), np.ndarray)
    # JSON writes 1.0 as 1: whole numbers in lists say nothing about those to come.
    whole = array.dtype.kind in "biu" and not lists
    dtype = dtypes.get(array.dtype.str[1:], "int64" if whole else "float32")
    return {"dtype": dtype, "shape": array.shape or (1,)}


def image(sample: Sample) -> dict[str, Any]:
    """The middle height and width of some images, and colour if any of them has it.

    Raises:
        InvalidValue: the column of the images holds something else.
    """
    cells = [record.get(sample.single or "") for record in sample.records]
    some = cells[:: -(-len(cells) // OPENED)]
    sizes = [_size(cell) for cell in some]
    channels = max(size[0] for size in sizes)
    height, width = (median_low(size[side] for size in sizes) for side in (1, 2))
    if len(set(sizes)) > 1:
        sample.said.append("the images differ in size or colours; all are made alike")
    shrink = min(1.0, LONGEST_SIDE / max(height, width))
    if shrink < 1:
        sample.said.append(
            f"they are {height} x {width} pixels and are made smaller; for finer ones set height "
            "and width in perdure.toml, and give model.py a larger network"
        )
    return {
        "channels": channels,
        "height": max(4, round(shrink * height)),
        "width": max(4, round(shrink * width)),
    }


def _first(sample: Sample) -> np.ndarray[Any, Any] | None:
    record = sample.records[0]
    if sample.single is not None:
        return as_numbers(record[sample.single])
    numbers = [record[column] for column in sample.features]
    try:
        return np.array([float(number) for number in numbers])
    except (TypeError, ValueError):
        return None


def _size(cell: Any) -> tuple[int, int, int]:
    """(channels, height, width) of an image file or of its pixels."""
    if isinstance(cell, np.ndarray | list):
        shape = np.shape(cell)
        if len(shape) in (2, 3):
            return (1, *shape)[-3:]
        raise InvalidValue(
            f"an image of shape {shape}; its pixels must be (channels, height, width)"
        )
    pillow = require("PIL.Image", "images")
    try:
        source = cell if isinstance(cell, Path) else io.BytesIO(base64.b64decode(cell))
        with pillow.open(source) as opened:
            return (1 if opened.mode in GREY else 3), opened.height, opened.width
    except (OSError, TypeError, ValueError) as error:
        raise InvalidValue(f"a row holds no image that can be read: {error}") from error
