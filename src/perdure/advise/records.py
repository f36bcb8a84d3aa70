"""Reading a data sample: what it holds beside the labels, and in which order it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.errors import DataUnavailable, InvalidValue, require

Array = NDArray[Any]

PICTURES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
CATEGORIES = 50
"""A column of strings with more values than this is a name or a text, not a category."""
AS_IN_FILE = "in the file's order"
COLUMNS = 64
"""Of the entries of an array, those that vary most are looked at, so many at most."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are no inputs; None where there is no such column.

    Args:
        label: the class.
        task: the task id.
        time: when a row came: a number or an ISO 8601 time.
        source: where a row came from.
    """

    label: str | None = None
    task: str | None = None
    time: str | None = None
    source: str | None = None

    def named(self) -> dict[str, str]:
        """Those that are given, by what they are."""
        return {role: name for role, name in vars(self).items() if name is not None}


@dataclass(frozen=True)
class Records:
    """A sample, its rows in the order in which they came.

    Attributes:
        labels: names of the classes (n,).
        inputs: numbers or categories (n,) by name, those that can be compared.
        order: what the order goes by, in words; None where there is none.
        groups: the task or the source of each row, as strings (n,), by "task" and "source".
        aside: names of columns that are times, names or texts, neither numbers nor categories.
        skipped: what else could not be looked at, and why.
    """

    labels: Array
    inputs: Mapping[str, Array]
    order: str | None
    groups: Mapping[str, Array] = field(default_factory=dict)
    aside: tuple[str, ...] = ()
    skipped: str | None = None


def read(path: str | Path, columns: Columns) -> Records:
    """A sample from a .csv or .parquet file, an .npz file, or a folder with one sub-folder a class.

    Args:
        path: of the sample.
        columns: of a table, or arrays of an .npz file, whose inputs are its array "x" and whose
            labels, unless named, "y".

    Raises:
        InvalidValue: a column is not there, the label is no class, or the file is of another kind.
        DataUnavailable: there is nothing at the path, or no picture in the folder.
        MissingExtra: a table without pandas.
    """
    path = Path(path)
    if not path.exists():
        raise DataUnavailable(f"there is no {path.absolute()}")
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() == ".npz":
        return _arrays(path, columns)
    return _table(path, columns)


def _folder(path: Path) -> Records:
    labels = [
        folder.name
        for folder in sorted(path.iterdir())
        if folder.is_dir()
        for picture in sorted(folder.rglob("*"))
        if picture.suffix.lower() in PICTURES
    ]
    if not labels:
        raise DataUnavailable(
            f"{path.absolute()} has no sub-folder with pictures; put them into one sub-folder a "
            "class"
        )
    return Records(
        np.array(labels),
        {},
        None,
        skipped="what the pictures look like: a folder says neither when nor where they came",
    )


def _arrays(path: Path, columns: Columns) -> Records:
    names = {"label": "y", **columns.named()}
    try:
        with np.load(path) as file:
            held = {name: file[name] for name in ("x", *names.values()) if name in file.files}
            there = file.files
    except ValueError as error:
        raise InvalidValue(f"{path} holds no plain arrays: {error}") from error
    absent = [name for name in ("x", *names.values()) if name not in held]
    lengths = {name: len(array) for name, array in held.items()}
    if absent or len(set(lengths.values())) > 1:
        raise InvalidValue(
            f"{path} has arrays {there} of lengths {lengths}; it needs x, {names['label']} and the "
            f"columns that were named, all of one length (missing: {absent or 'none'})"
        )
    flat = held["x"].reshape(len(held["x"]), -1)
    widest = np.argsort(-flat.astype(float).var(axis=0), kind="stable")[:COLUMNS]
    left = flat.shape[1] - len(widest)
    records = _ordered(names, held, {f"x[{i}]": flat[:, i] for i in sorted(widest.tolist())})
    skipped = f"{left} entries of x that vary less than the {COLUMNS} that were compared"
    return replace(records, skipped=skipped) if left else records


def _table(path: Path, columns: Columns) -> Records:
    pandas = require("pandas", "tables")
    readers = {".csv": pandas.read_csv, ".parquet": pandas.read_parquet}
    if path.suffix.lower() not in readers:
        raise InvalidValue(
            f"{path} ends in {path.suffix!r}; a sample is a .csv, .parquet or .npz file, or a "
            "folder of pictures"
        )
    table = readers[path.suffix.lower()](path)
    names = columns.named()
    absent = [name for name in names.values() if name not in table.columns]
    if "label" not in names or absent:
        raise InvalidValue(
            f"{path} has columns {list(table.columns)}; name the one with the classes as label"
            + (f" (there is no {absent})" if absent else "")
        )
    inputs: dict[str, Array] = {}
    aside: list[str] = []
    for name in table.columns.difference(list(names.values()), sort=False):
        values = table[name]
        if pandas.api.types.is_numeric_dtype(values):
            inputs[name] = values.to_numpy(np.float64, na_value=np.nan)
        elif pandas.api.types.is_datetime64_any_dtype(values) or values.nunique() > CATEGORIES:
            aside.append(name)
        else:
            inputs[name] = values.astype(str).to_numpy(str)
    held = {name: table[name].to_numpy() for name in names.values()}
    return replace(_ordered(names, held, inputs), aside=tuple(aside))


def _ordered(
    names: Mapping[str, str], held: Mapping[str, Array], inputs: Mapping[str, Array]
) -> Records:
    labels = _classes(names["label"], held[names["label"]])
    rows, order = np.arange(len(labels)), AS_IN_FILE
    if "time" in names:
        rows = np.argsort(_times(names["time"], held[names["time"]]), kind="stable")
        order = f"in order of {names['time']}"
    return Records(
        labels[rows],
        {name: column[rows] for name, column in inputs.items()},
        order,
        {role: held[names[role]][rows].astype(str) for role in ("task", "source") if role in names},
    )


def _classes(name: str, values: Array) -> Array:
    if len(values) < 2 or values.ndim != 1:
        raise InvalidValue(f"{name!r} has shape {values.shape}; a sample needs two labels or more")
    if values.dtype.kind == "f":
        missing = int(np.isnan(values).sum())
        if missing:
            raise InvalidValue(f"{name!r} has {missing} missing labels; leave those rows out")
        if (values != np.round(values)).any():
            raise InvalidValue(
                f"{name!r} holds numbers such as {values[values != np.round(values)][0]}, a "
                "quantity to predict; this advice is for classes. Put it into bins, or name "
                "another column"
            )
        values = values.astype(np.int64)
    if values.dtype == object and any(value is None or value != value for value in values):  # noqa: PLR0124  only what is missing differs from itself
        raise InvalidValue(f"{name!r} has missing labels; leave those rows out")
    return values.astype(str)


def _times(name: str, values: Array) -> Array:
    if values.dtype.kind in "iufM":
        return values
    pandas = require("pandas", "tables")
    try:
        parsed: Array = pandas.to_datetime(values, format="ISO8601").to_numpy()
    except ValueError as error:
        raise InvalidValue(
            f"{name!r} holds {values[0]!r}; a time is a number or ISO 8601, as 2026-03-31 or "
            "2026-03-31T12:00"
        ) from error
    return parsed
