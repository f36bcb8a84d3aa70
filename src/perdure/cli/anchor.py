"""`perdure anchor`: the rows that every version is measured by, and none learns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.directory import ACTOR, HERE, Directory, DryRun, Json, opened, say

File = Annotated[Path, typer.Argument(help=".csv, .parquet, .jsonl, .npz, or a folder.")]


def anchor(
    file: File, directory: Directory = HERE, dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Pin the labelled rows of FILE as the anchor, in place of the one before.

    They are yours: never trained on, never evicted, sealed by a digest. The gate refuses a version
    that is worse on them than the best that ever served, whatever anybody else sends.

    For example:

        perdure anchor checked_by_hand.csv
    """
    from perdure.live.anchor import pin
    from perdure.live.readers import read_rows

    with opened(directory) as project:
        rows = [row for chunk in read_rows(file, project.schema) for row in chunk]
        project.log.check(rows)
        digest = None if dry_run else pin(project, rows, ACTOR)
    told = f"{len(rows)} rows {'would be' if dry_run else 'are'} the anchor"
    say({"rows": len(rows), "digest": digest}, as_json, told)
