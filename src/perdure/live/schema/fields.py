"""Which columns of a file are not features: the label, the row's id, and what else is known."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import BaseModel, ConfigDict

CUSTOMARY = {
    "label": ("label", "target", "class", "y"),
    "id": ("id", "row_id"),
    "time": ("event_time", "timestamp"),
    "subject": ("subject", "subject_id", "user_id"),
    "source": ("source",),
    "task": ("task", "task_id"),
}
"""Where a column is looked for, in any case of letters, unless it is named."""


class Fields(BaseModel):
    """Columns of a file by their part in a row; one that is not named is found by custom.

    A column of the schema's own is a feature, whatever it is called.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str | None = None
    """Customarily label, target, class or y."""
    id: str | None = None
    """Customarily id or row_id; without one, a row is known by its content."""
    time: str | None = None
    """Of the event: seconds since 1970 or ISO 8601; customarily event_time or timestamp."""
    subject: str | None = None
    """Whom the row is about; customarily subject, subject_id or user_id."""
    source: str | None = None
    """Who sent it; customarily source."""
    task: str | None = None
    """Its integer id; customarily task or task_id."""
    features: str | None = None
    """The one column that holds the features of a text, image or tensor."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out."""

    def named(self) -> dict[str, str]:
        """The columns that were named, by their part."""
        held = {part: getattr(self, part) for part in (*CUSTOMARY, "features")}
        return {part: column for part, column in held.items() if column is not None}

    def found(self, columns: Collection[str], features: Collection[str] = ()) -> dict[str, str]:
        """The columns that are there, by their part.

        Args:
            columns: of the file.
            features: columns that are features, whatever they are called.
        """
        named = self.named()
        taken = {*features, *self.ignore, *named.values()}
        free = {column.lower(): column for column in reversed(list(columns)) if column not in taken}
        custom = {
            part: next((free[name] for name in names if name in free), None)
            for part, names in CUSTOMARY.items()
            if part not in named
        }
        there = {**custom, **named}
        return {part: column for part, column in there.items() if column in columns and column}
