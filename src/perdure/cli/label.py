"""`perdure label`: tell what rows were, when it is known at last."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.directory import HERE, Directory, Json, opened, say
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
    as_json: Json = False,
) -> None:
    """Join labels to rows that are in the log; another label for a row revises the first.

    For example:

        perdure label 6f1c2a cancelled
        perdure label --file outcomes.csv
    """
    import csv
    from collections import Counter

    from perdure.live.labels import Label

    if file is not None:
        with file.open(newline="", encoding="utf-8") as lines:
            given = [Label(line["id"], line["label"]) for line in csv.DictReader(lines)]
    elif row is not None and name is not None:
        given = [Label(row, name)]
    else:
        raise InvalidValue("give an id and a label, or --file with the columns id and label")
    with opened(directory) as project:
        joined = project.labels.give(given).result()
    counts = Counter(one.status for one in joined)
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    say([vars(one) for one in joined], as_json, told)
