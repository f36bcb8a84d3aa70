"""`perdure label`: tell what rows were, when it is known at last."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.directory import HERE, Directory, DryRun, Json, opened, say
from perdure.errors import InvalidValue

Id = Annotated[str | None, typer.Argument(help="Of the row, or the prediction id of an answer.")]
Name = Annotated[str | None, typer.Argument(metavar="LABEL", help="The class.")]
File = Annotated[
    Path | None, typer.Option("--file", help="A CSV file with the columns id and label instead.")
]


def label(
    row: Id = None,
    name: Name = None,
    file: File = None,
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Join labels to rows that are in the log; another label for a row revises the first.

    For example:

        perdure label 6f1c2a cancelled
        perdure label --file outcomes.csv
    """
    from collections import Counter

    from perdure.live.labels import Label

    if file is not None:
        given = [Label(*pair) for pair in _pairs(file)]
    elif row is not None and name is not None:
        given = [Label(row, name)]
    else:
        raise InvalidValue("give an id and a label, or --file with the columns id and label")
    with opened(directory) as project:
        if dry_run:
            project.labels.check(given)
            say({"labels": len(given)}, as_json, f"{len(given)} labels would be given")
            return
        joined = project.labels.give(given).result()
    counts = Counter(one.status for one in joined)
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    say([vars(one) for one in joined], as_json, told or "the file has no labels")


def _pairs(file: Path) -> list[tuple[str, str]]:
    """The ids and labels of a file."""
    import csv

    with file.open(newline="", encoding="utf-8-sig") as lines:
        records = csv.DictReader(lines)
        if not {"id", "label"} <= {*(records.fieldnames or ())}:
            found = ", ".join(records.fieldnames or ()) or "none"
            raise InvalidValue(f"{file} must have the columns id and label; it has {found}")
        return [(record["id"], record["label"]) for record in records]
