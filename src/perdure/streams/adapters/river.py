"""River streams: dictionaries of features in the order in which they came."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np

from perdure.errors import InvalidValue
from perdure.streams.data.arrays import arrays
from perdure.streams.dataset import Data

ARRIVAL = "arrival"

Row = tuple[Mapping[Hashable, Any], Any]


def river(
    stream: Iterable[Row], rows: int | None = None, *, test: float = 0.2, seed: int = 0
) -> Data:
    """A data set from the rows (x, y) that a River stream yields: float32 inputs (n, features).

    A feature that is a number is an input as it is; each value of any other feature is an input of
    its own, 1 where a row has it. What a row lacks is 0. Inputs are in the order in which features
    first came. The column "arrival" counts the rows, so that time makes the tasks:
    `by_column(data, "arrival", tasks=10, scenario="free")`.

    Args:
        stream: such as `river.datasets.Phishing()`, or any iterable of (dict, label).
        rows: to read at most; None reads all, and never returns from a stream without end.
        test: the share of rows to measure on, in (0, 1).
        seed: of the choice of test rows.

    Raises:
        InvalidValue: the stream yields no row, or one without a label.

    Example:
        >>> data = river([({"hour": 7, "shop": "north"}, "busy"), ({"hour": 9}, "quiet")] * 4)
        >>> data.shape, data.classes
        ((2,), ('busy', 'quiet'))
    """
    held = list(islice(stream, rows))
    unlabelled = [at for at, (_, y) in enumerate(held) if y is None]
    if not held or unlabelled:
        what = f"row {unlabelled[0]} has no label" if unlabelled else "it yielded no row"
        raise InvalidValue(f"a river stream cannot be learnt from: {what}")
    place: dict[tuple[Hashable, Any], int] = {}
    for x, _ in held:
        for name, value in x.items():
            place.setdefault(_column(name, value), len(place))
    inputs = np.zeros((len(held), len(place)), np.float32)
    for at, (x, _) in enumerate(held):
        for name, value in x.items():
            number = isinstance(value, int | float | np.number | np.bool_)
            inputs[at, place[_column(name, value)]] = value if number else 1.0
    y = np.asarray([label for _, label in held])
    columns = {ARRIVAL: np.arange(len(held))}
    name = type(stream).__name__.lower()
    return arrays(inputs, y, test=test, columns=columns, name=name, seed=seed)


def _column(name: Hashable, value: Any) -> tuple[Hashable, Any]:
    """What an input stands for: a feature, or one value of it."""
    return name, None if isinstance(value, int | float | np.number | np.bool_) else value
