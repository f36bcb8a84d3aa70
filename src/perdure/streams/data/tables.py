"""Tables: a data set from CSV or Parquet files."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perdure.errors import DataUnavailable, InvalidValue, require
from perdure.streams.dataset import Data
from perdure.streams.draws import stratified

TIMES = frozenset({"datetime64", "datetime", "date", "time", "timedelta64", "timedelta", "period"})
"""What pandas infers of a column that says when, which is no input."""


def tables(
    path: str | Path,
    label: str,
    *,
    test: float | str | Path = 0.2,
    keep: Sequence[str] = (),
    regression: bool = False,
    seed: int = 0,
) -> Data:
    """A data set from a table: float32 inputs (n, features).

    A number, decimals included, is standardised by the mean and deviation of the training rows; one
    that is missing becomes their mean. A category becomes one column for each value that the
    training rows have; one that is missing, or that they lack, is zero in all of them.

    Args:
        path: of a .csv or .parquet file.
        label: the column to predict.
        test: the share of rows to measure on, in (0, 1), or the path of a second table.
        keep: columns that the model does not see, kept for `by_column`: times, sources.
        regression: whether the label is a number to predict rather than a class.
        seed: of the choice of test rows.

    Raises:
        InvalidValue: a column is not there, is of no use as an input, or has missing labels.
        DataUnavailable: there is no such file.
        MissingExtra: pandas is not installed.
    """
    pandas = require("pandas", "tables")
    train = _read(pandas, Path(path))
    if isinstance(test, str | Path):
        shown = _read(pandas, Path(test))
        wrong = sorted(set(train.columns) ^ set(shown.columns))
        if wrong:
            raise InvalidValue(f"{path} and {test} differ in the columns {wrong}")
        _check_kinds(pandas, train, shown)
    _check(train, label, keep)
    whole = train
    if isinstance(test, str | Path):
        whole = pandas.concat([train, shown], ignore_index=True)
        rows, rest = torch.arange(len(train)), torch.arange(len(train), len(whole))
    y, classes = _targets(whole, label, regression=regression)
    if not isinstance(test, str | Path):
        rows, rest = stratified(y, test, seed)
    columns = {name: whole[name].to_numpy() for name in keep}
    x = _inputs(pandas, whole.drop(columns=[label, *keep]), rows)
    return Data(
        Path(path).stem,
        x[rows],
        y[rows],
        x[rest],
        y[rest],
        classes,
        {name: (column[rows.numpy()], column[rest.numpy()]) for name, column in columns.items()},
    )


def _read(pandas: Any, path: Path) -> Any:
    readers = {".csv": pandas.read_csv, ".parquet": pandas.read_parquet}
    if path.suffix.lower() not in readers:
        raise InvalidValue(f"{path} ends in {path.suffix!r}; a table is a .csv or .parquet file")
    if not path.is_file():
        raise DataUnavailable(f"there is no file {path.absolute()}")
    table = readers[path.suffix.lower()](path)
    if not len(table):
        raise InvalidValue(f"{path} has no rows")
    for name in table.columns:
        if pandas.api.types.infer_dtype(table[name]) == "decimal":  # objects, to pandas
            table[name] = table[name].astype(float)
    return table


def _check_kinds(pandas: Any, train: Any, shown: Any) -> None:
    """Refuse a column of numbers in one table and of something else in the other."""
    number = pandas.api.types.is_numeric_dtype
    wrong = [name for name in train.columns if number(train[name]) != number(shown[name])]
    wrong = [name for name in wrong if train[name].notna().any() and shown[name].notna().any()]
    if wrong:
        raise InvalidValue(
            f"columns {wrong} are numbers in one table and not in the other: "
            f"{[str(train[name].dtype) for name in wrong]} and "
            f"{[str(shown[name].dtype) for name in wrong]}; mend what is no number there"
        )


def _check(table: Any, label: str, keep: Sequence[str]) -> None:
    absent = [name for name in (label, *keep) if name not in table.columns]
    if absent:
        raise InvalidValue(f"the table has no column {absent}; it has {list(table.columns)}")
    if label in keep or len(table.columns) == len({label, *keep}):
        raise InvalidValue(f"label {label!r} and keep {list(keep)} leave no column to learn from")


def _targets(table: Any, label: str, *, regression: bool) -> tuple[Tensor, tuple[str, ...]]:
    values = table[label]
    if values.isna().any():
        raise InvalidValue(f"column {label!r} has {values.isna().sum()} missing labels; drop them")
    if regression:
        if values.dtype.kind not in "iufb":
            raise InvalidValue(f"column {label!r} is {values.dtype}; a regression needs numbers")
        return torch.from_numpy(values.to_numpy(np.float32).copy()).unsqueeze(1), ()
    distinct, labels = np.unique(values.to_numpy(), return_inverse=True)
    return torch.from_numpy(labels.astype(np.int64)), tuple(map(str, distinct))


def _inputs(pandas: Any, table: Any, rows: Tensor) -> Tensor:  # (n, features)
    types, features = pandas.api.types, []
    for name in table.columns:
        values, aside = table[name], f"keep=[{name!r}]"
        if types.is_numeric_dtype(values):
            features.append(_standardised(values, name, rows))
        elif types.infer_dtype(values) in TIMES:
            raise InvalidValue(f"column {name!r} is a time; set it apart with {aside}")
        elif values.map(lambda value: value is not None and not isinstance(value, Hashable)).any():
            raise InvalidValue(
                f"column {name!r} holds lists or the like; set it apart with {aside}"
            )
        else:
            known = values.iloc[rows.numpy()].dropna().unique()
            features.extend(
                values.isin([value]).to_numpy(np.float32) for value in sorted(known, key=str)
            )
    return torch.from_numpy(np.stack(features, axis=1))


def _standardised(values: Any, name: str, rows: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    seen = numbers[rows.numpy()]
    if not np.isfinite(seen[~np.isnan(seen)]).any() or np.isinf(numbers).any():
        raise InvalidValue(f"column {name!r} is empty or infinite; leave it out with keep")
    deviation = np.nanstd(seen)
    scaled = (numbers - np.nanmean(seen)) / (deviation if deviation > 0 else 1)
    filled: np.ndarray[Any, np.dtype[np.float32]] = np.nan_to_num(scaled).astype(np.float32)
    return filled
