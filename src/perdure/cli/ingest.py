"""`perdure ingest`: put the rows of a file into the log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.directory import HERE, Directory, DryRun, Json, bar, opened, say

if TYPE_CHECKING:
    from perdure.live.project import Project
    from perdure.live.rows import Row

Files = Annotated[
    list[Path], typer.Argument(help=".csv, .parquet, .jsonl, .npz, or a folder of pictures.")
]
Source = Annotated[str, typer.Option(help="Who these rows come from.")]


def ingest(
    files: Files,
    source: Source = "file",
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Store the rows of FILES durably; rows that are there already change nothing.

    A file that has grown adds its new rows alone, and labels that were filled in since join their
    rows, so that the same command can run every night.

    For example:

        perdure ingest orders.csv
        perdure ingest pictures/ --source studio -C shop
    """
    from perdure.live.readers import count_rows

    counts = Counter(rows=0, stored=0, duplicate=0, labelled=0)
    with opened(directory) as project, bar(as_json) as progress:
        for path in files:
            task = progress.add_task(str(path), total=count_rows(path))
            for held in _read(project, path, source, dry_run):
                counts.update(held)
                progress.advance(task, held["rows"])
    told = f"{counts['rows']} rows read"
    if not dry_run:
        told += f", {counts['stored']} stored, {counts['duplicate']} were there"
    if counts["labelled"]:
        told += f", {counts['labelled']} of them got their label"
    say(counts, as_json, told)


def _read(project: Project, path: Path, source: str, dry_run: bool) -> Iterator[Counter[str]]:
    """Store a file chunk by chunk, or only check it; what became of each chunk."""
    from dataclasses import replace

    from perdure.live.readers import read_rows
    from perdure.live.refusals import Refused

    first = 0
    for chunk in read_rows(path, project.schema):
        rows = [row if row.source else replace(row, source=source) for row in chunk]
        try:
            yield _checked(project, rows) if dry_run else _stored(project, rows)
        except Refused as refused:  # by its position in the file, not in the chunk
            raise refused.at(None if refused.row is None else refused.row + first) from None
        first += len(rows)


def _checked(project: Project, rows: Sequence[Row]) -> Counter[str]:
    project.log.check(rows)
    return Counter(rows=len(rows))


def _stored(project: Project, rows: Sequence[Row]) -> Counter[str]:
    """Append rows; the label of one that is there without any joins it."""
    from dataclasses import replace

    from perdure.live.labels import Label

    waiting = _waiting(project, rows)
    bare = [replace(row, label=None) if row.id in waiting else row for row in rows]
    accepted = project.log.append(bare).result()
    late = [Label(r.id, r.label) for r in rows if r.id in waiting and r.label is not None]
    joined = project.labels.give(late).result()
    counts = Counter(one.status for one in accepted)
    labelled = sum(one.status in ("joined", "late") for one in joined)
    return counts + Counter(rows=len(rows), labelled=labelled)


def _waiting(project: Project, rows: Sequence[Row]) -> set[str]:
    """Ids of rows that bring a label and are in the log without one."""
    brought = json.dumps([row.id for row in rows if row.label is not None])
    found = project.database.read(
        "SELECT id FROM rows WHERE id IN (SELECT value FROM json_each(?)) AND NOT EXISTS"
        " (SELECT 1 FROM examples WHERE examples.position = rows.position)",
        (brought,),
    )
    return {row["id"] for row in found}
