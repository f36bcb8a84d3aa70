"""From the records of a file to rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, islice
from pathlib import Path

from perdure.errors import InvalidValue
from perdure.live.readers import cells
from perdure.live.readers.features import features
from perdure.live.readers.formats import Record, has_header, read_records
from perdure.live.readers.identity import Identity
from perdure.live.refusals import RowRefused
from perdure.live.rows import Row
from perdure.live.schema import Fields, Schema


def read_rows(
    path: str | Path,
    schema: Schema,
    fields: Fields | None = None,
    *,
    size: int = 1000,
    origin: str = "",
) -> Iterator[list[Row]]:
    """The rows of a file or a folder of images, in chunks; no more than one chunk is in memory.

    A row without an id gets one from its content: reading a file twice names the same rows.

    Args:
        path: .csv, .tsv, .parquet, .jsonl, .npz, or a folder of images by class.
        schema: of the project.
        fields: which columns are not features; the schema's own where this is None.
        size: rows a chunk.
        origin: sets equal rows of different files apart, where they have neither id nor time.

    Raises:
        InvalidValue: the file cannot be read, or lacks a column that `fields` names, or that the
            schema names as anything but the label, which may come later.
        RowRefused: a time or a task id that is none, by its position in the file, from 0.
    """
    reading = _Reading(schema, fields or schema.fields, Identity(origin))
    records = iter(read_records(path))
    chunk = list(islice(records, size))
    if fields is not None or has_header(path):
        _check_there(fields or _kept(schema.fields), chunk, path)
    while chunk:
        yield [reading.row(record) for record in chunk]
        chunk = list(islice(records, size))


class _Reading:
    """What the rows of one file have in common."""

    def __init__(self, schema: Schema, fields: Fields, identity: Identity) -> None:
        self.schema = schema
        self.fields = fields
        self.identity = identity
        self.numbers = count()
        self.own = {column.name for column in schema.columns}
        self._parts: dict[tuple[str, ...], dict[str, str]] = {}

    def row(self, record: Record) -> Row:
        number = next(self.numbers)
        parts = self._found(tuple(record))
        try:
            return self._row(record, parts)
        except RowRefused as refused:
            raise refused.at(number) from None

    def _row(self, record: Record, parts: Mapping[str, str]) -> Row:
        known = {part: record[column] for part, column in parts.items()}
        others = {*parts.values(), *self.fields.ignore} - {parts.get("features")}
        left = {column: cell for column, cell in record.items() if column not in others}
        found = features(self.schema, left, parts.get("features"))
        event_time = cells.seconds(parts.get("time", ""), known.get("time"))
        subject, source = cells.text(known.get("subject")), cells.text(known.get("source"))
        task = cells.integer(parts.get("task", ""), known.get("task"))
        named = cells.text(known.get("id"))
        return Row(
            id=named or self.identity.of([found, event_time, subject, source, task]),
            features=found,
            label=cells.name(known.get("label")),
            event_time=event_time,
            subject=subject,
            source=source,
            task=task,
        )

    def _found(self, columns: tuple[str, ...]) -> dict[str, str]:
        if columns not in self._parts:
            self._parts[columns] = self.fields.found(columns, self.own)
        return self._parts[columns]


def _kept(fields: Fields) -> Fields:
    """Without the label: rows that lacked their id or subject would be stored as others' rows."""
    return fields.model_copy(update={"label": None, "features": None})


def _check_there(fields: Fields, chunk: list[Record], path: str | Path) -> None:
    columns = {column: None for record in chunk for column in record}
    for part, column in fields.named().items():
        if chunk and column not in columns:
            raise InvalidValue(
                f"{path} has no column {column!r} for the {part}; it has {', '.join(columns)}. Add "
                f"it, or change {part} in [schema.fields] if it is called otherwise from now on"
            )
