"""`perdure ingest`: put the rows of a file into the log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.directory import HERE, Directory, DryRun, Json, console, opened, say

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

    A file that has grown adds its new rows alone, so that the same command can run every night.

    For example:

        perdure ingest orders.csv
        perdure ingest pictures/ --source studio -C shop
    """
    from dataclasses import replace

    from rich.progress import Progress

    from perdure.live.readers import count_rows, read_rows

    counts = {"rows": 0, "stored": 0, "duplicate": 0}
    with opened(directory) as project, Progress(console=console, disable=as_json) as progress:
        for path in files:
            bar = progress.add_task(str(path), total=count_rows(path))
            for chunk in read_rows(path, project.schema):
                rows = [row if row.source else replace(row, source=source) for row in chunk]
                counts["rows"] += len(rows)
                if dry_run:
                    project.log.check(rows)
                else:
                    for one in project.log.append(rows).result():
                        counts[one.status] += 1
                progress.advance(bar, len(chunk))
    told = f"{counts['rows']} rows read"
    if not dry_run:
        told += f", {counts['stored']} stored, {counts['duplicate']} were there"
    say(counts, as_json, told)
