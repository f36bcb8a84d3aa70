"""The first rows of a file, looked at before there is a schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from perdure.errors import InvalidValue
from perdure.live.readers import Record, cells, read_records
from perdure.live.readers.features import CUSTOMARY
from perdure.live.readers.folder import images
from perdure.live.schema import Fields

ROWS = 10_000
"""Rows that are looked at; of a folder of images all names, since they are the classes."""


@dataclass
class Sample:
    """Rows, and what was found out about them so far.

    Args:
        records: cells by column; an image of a folder is its path.
        parts: columns by their part in a row: label, id and so on.
        fields: what a reader is told: columns to ignore, the label's where it was named, and others
            by their part, so that a file which lacks one is noticed.
        said: sentences for a person.
    """

    records: list[Record]
    parts: dict[str, str]
    fields: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def features(self) -> list[str]:
        """The columns that are nothing else, in the file's order."""
        columns = {column: None for record in self.records for column in record}
        return [column for column in columns if column not in self.parts.values()]

    @property
    def single(self) -> str | None:
        """The one column that holds all features, if there is one."""
        features = self.features
        if len(features) == 1:
            return features[0]
        return next((column for column in CUSTOMARY if column in features), None)

    def cells(self, column: str) -> list[Any]:
        """What the rows hold there; None where nothing."""
        return [cells.plain(record.get(column)) for record in self.records]


def look(path: Path, label: str | None) -> Sample:
    """The first rows of a file, or all names of a folder of images.

    Args:
        path: of the file or folder.
        label: the column of the classes; None looks for a customary name.

    Raises:
        InvalidValue: there are no rows, or no such column.
    """
    if path.is_dir():
        records: list[Record] = [
            {"image": file, "label": None if file.parent == path else file.parent.name}
            for file in images(path)
        ]
    else:
        records = [_flat(record) for record in islice(read_records(path), ROWS)]
    columns = list({column: None for record in records for column in record})
    if not records:
        raise InvalidValue(f"{path} holds no row; a schema is read off some")
    if label is not None and label not in columns:
        raise InvalidValue(f"{path} has no column {label!r}; it has {', '.join(columns)}")
    sample = Sample(records, Fields(label=label).found(columns))
    sample.fields |= {part: name for part, name in sample.parts.items() if part != "label"}
    if label is not None:
        sample.fields["label"] = label
    if len(records) == ROWS:
        sample.said.append(f"the first {ROWS:,} rows were looked at; later ones may not fit")
    found = [f"{column!r} is the {part}" for part, column in sample.parts.items()]
    if found:
        sample.said.append(f"of its columns, {', '.join(found)}")
    if "label" not in sample.parts:
        sample.said.append("no column is called label, target, class or y: rows have no label yet")
    return sample


def _flat(record: Record) -> Record:
    """Columns that lie under `features` beside those that lie beside it."""
    nested = record.get("features")
    if not isinstance(nested, Mapping):
        return record
    return {**{k: cell for k, cell in record.items() if k != "features"}, **nested}
