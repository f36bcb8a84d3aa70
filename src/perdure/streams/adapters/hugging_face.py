"""Hugging Face `datasets`: texts, images, vectors or columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perdure.errors import InvalidValue, require
from perdure.streams.data.arrays import arrays
from perdure.streams.dataset import Data
from perdure.streams.texts import text_rows


def hugging_face(
    dataset: Any,
    inputs: str | Sequence[str],
    label: str = "label",
    *,
    test: float | str = "test",
    keep: Sequence[str] = (),
    seed: int = 0,
) -> Data:
    """A data set from a Hugging Face one, all of it held in memory.

    Texts become rows of bytes, uint8 (n, length), as `perdure.nets.encoder("text")` reads them;
    images of one size uint8 (n, channels, height, width); vectors and columns of numbers float32.

    Args:
        dataset: a `datasets.Dataset`, or a `DatasetDict` with a split "train"; a name or a folder
            is given to `datasets.load_dataset`.
        inputs: the column to learn from, or several columns of numbers.
        label: the column of classes: a `ClassLabel`, integers, booleans or strings; floats are the
            targets of a regression.
        test: the split to measure on, or a share of the rows, in (0, 1).
        keep: columns that the model does not see, kept for `by_column`: times, sources.
        seed: of the choice of test rows.

    Raises:
        InvalidValue: a column or split is not there, or a column is of another kind.
        MissingExtra: `datasets` is not installed and a name was given.
    """
    if isinstance(dataset, str):
        dataset = require("datasets", "hugging-face").load_dataset(dataset)
    train, shown = _splits(dataset, test)
    names = [inputs] if isinstance(inputs, str) else list(inputs)
    parts = [train] if shown is None else [train, shown]
    for part in parts:
        missing = [name for name in (*names, label, *keep) if name not in part.column_names]
        if missing:
            raise InvalidValue(f"there is no column {missing[0]!r}; it has {part.column_names}")
    x = _inputs([[part[name][:] for name in names] for part in parts], names)
    y = np.concatenate([np.asarray(part[label][:]) for part in parts])
    classes = getattr(train.features[label], "names", None)
    held = {name: np.concatenate([np.asarray(p[name][:]) for p in parts]) for name in keep}
    name = getattr(train.info, "dataset_name", None) or "hugging-face"
    if shown is None:
        share = float(test)
        return arrays(x, y, test=share, classes=classes, columns=held, name=name, seed=seed)
    rest = x[len(train) :], y[len(train) :]
    return arrays(
        x[: len(train)], y[: len(train)], test=rest, classes=classes, columns=held, name=name
    )


def _splits(dataset: Any, test: float | str) -> tuple[Any, Any | None]:
    if not isinstance(dataset, Mapping):
        if isinstance(test, str):
            raise InvalidValue(
                f"one split was given and no split {test!r}; give a share of its rows, test=0.2"
            )
        return dataset, None
    wanted = ["train"] if not isinstance(test, str) else ["train", test]
    missing = [name for name in wanted if name not in dataset]
    if missing:
        raise InvalidValue(f"there is no split {missing[0]!r}; it has {sorted(dataset)}")
    return dataset["train"], dataset[test] if isinstance(test, str) else None


def _inputs(parts: list[list[list[Any]]], names: list[str]) -> Tensor:  # (n, ...)
    """The columns of all parts as one tensor."""
    columns = [[value for part in parts for value in part[at]] for at in range(len(names))]
    if len(columns) > 1:
        return torch.stack([_numbers(c, n) for c, n in zip(columns, names, strict=True)], dim=1)
    (column,), (name,) = columns, names
    if isinstance(column[0], str):
        return text_rows(column)
    if hasattr(column[0], "getbands"):
        return _images(column, name)
    return _numbers(column, name)


def _numbers(column: list[Any], name: str) -> Tensor:
    try:
        found = torch.as_tensor(np.asarray(column))
    except (TypeError, ValueError) as error:
        raise InvalidValue(
            f"column {name!r} holds {type(column[0]).__name__}; give one column of texts, images "
            f"of one size or vectors of one length, or several of numbers ({error})"
        ) from error
    return found if found.dtype == torch.uint8 else found.float()


def _images(column: list[Any], name: str) -> Tensor:  # (n, channels, height, width)
    grey = all(image.mode == "L" for image in column)
    pixels = [np.asarray(image if grey else image.convert("RGB")) for image in column]
    shapes = sorted({pixel.shape[:2] for pixel in pixels})
    if len(shapes) > 1:
        raise InvalidValue(
            f"images of column {name!r} have sizes {shapes[:3]}...; bring them to one size, for "
            f"example dataset.map(lambda row: {{{name!r}: row[{name!r}].resize((96, 96))}})"
        )
    stacked = torch.from_numpy(np.stack(pixels))
    return stacked[:, None] if grey else stacked.permute(0, 3, 1, 2).contiguous()
