"""From a sample to a schema."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from pydantic import ValidationError

from perdure.errors import InvalidValue
from perdure.live.discovery.arrays import image, tensor, text
from perdure.live.discovery.sample import Sample, look
from perdure.live.discovery.table import table
from perdure.live.readers import cells
from perdure.live.refusals import RowRefused
from perdure.live.schema import Fields, Schema, class_name
from perdure.live.schema.schema import Kind

SIZES = {"table": table, "text": text, "tensor": tensor, "image": image}
MOST_CLASSES = 1_000


def discover(
    path: str | Path, kind: Kind | None = None, label: str | None = None
) -> tuple[Schema, list[str]]:
    """A schema that the rows of a file fit, open to new classes; and sentences that say why.

    Args:
        path: whatever `perdure.live.readers` reads.
        kind: of the features; None looks at them.
        label: the column of the classes; None looks for a customary name.

    Raises:
        InvalidValue: the file has no rows, lacks the label's column, or does not look like `kind`.
    """
    sample = look(Path(path), label)
    found: Kind = kind or _kind(sample)
    sizes, classes = SIZES[found](sample), _classes(sample)
    try:
        schema = Schema(
            kind=found,
            classes=classes,
            open=True,
            tasks="task" in sample.parts,
            fields=Fields(**sample.fields),
            **sizes,
        )
    except ValidationError as error:
        raise InvalidValue(f"{path} makes no schema: {error}") from error
    return schema, [f"{path} holds {schema.describe()}", *sample.said]


def _kind(sample: Sample) -> Kind:
    column = sample.single
    if column is None:
        return "table"
    found = [cell for cell in sample.cells(column) if cell is not None]
    cell = found[0] if found else None
    if isinstance(cell, Path) or (column == "image" and isinstance(cell, str)):
        return "image"
    if isinstance(cell, np.ndarray):
        return "image" if _is_image(cell) else "tensor"
    if isinstance(cell, list):
        return "tensor"
    texts = [cell for cell in found if isinstance(cell, str)]
    # Categories are short and come again; a number in text is a number.
    worded = [len(cell) for cell in texts if isinstance(cells.number(cell), str)]
    if worded and len(worded) == len(found) and (column == "text" or fmean(worded) > 20):
        return "text"
    return "table"


def _is_image(pixels: np.ndarray[Any, Any]) -> bool:
    if pixels.dtype != np.uint8 or min(pixels.shape, default=0) < 1:
        return False
    return pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4))


def _classes(sample: Sample) -> tuple[str, ...]:
    column = sample.parts.get("label")
    held = [] if column is None else sample.cells(column)
    labels = [label for label in held if label is not None]
    numbers = [number for number in map(cells.number, labels) if isinstance(number, float)]
    fraction = next((number for number in numbers if not number.is_integer()), None)
    if fraction is not None and len(numbers) == len(labels):
        raise InvalidValue(
            f"column {column!r} as a label holds {fraction:g}: a quantity, which becomes classes "
            "by bounds; or name another column for the label"
        )
    try:
        names = {class_name(label) for label in labels}
    except RowRefused as refused:
        raise InvalidValue(f"column {column!r} as a label: {refused}") from refused
    if len(names) > MOST_CLASSES:
        raise InvalidValue(
            f"column {column!r} has {len(names):,} different labels; a model here learns classes, "
            f"at most {MOST_CLASSES:,} to start with: name another column for the label"
        )
    numeric = all(name.lstrip("-").isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name), name) if numeric else (0, name)))
