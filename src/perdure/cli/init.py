"""`perdure init`: begin a state directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from perdure.cli.directory import DryRun, Json, say

Target = Annotated[Path, typer.Argument(help="The directory to make.")]
Kind = Annotated[
    Literal["table", "image", "text", "tensor"] | None,
    typer.Option(help="What a row is; found out from the sample where one is given."),
]
Sample = Annotated[
    Path | None,
    typer.Option(help="Rows to infer the schema from: .csv, .parquet, .jsonl, .npz, or a folder."),
]
Label = Annotated[str | None, typer.Option(help="The sample's column with the class.")]
Name = Annotated[str | None, typer.Option(help="Of the model; the directory's unless given.")]
Force = Annotated[bool, typer.Option("--force", help="Write over perdure.toml and model.py.")]


def init(
    directory: Target,
    kind: Kind = None,
    sample: Sample = None,
    label: Label = None,
    name: Name = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Write a working project: perdure.toml (every setting explained), model.py and a README.

    For example:

        perdure init shop --sample orders.csv --label returned
        perdure init digits --kind image
        cd shop && perdure ingest orders.csv && perdure update && perdure serve
    """
    from perdure.live.start import begin

    begun = begin(
        directory, kind, sample=sample, label=label, name=name, force=force, write=not dry_run
    )
    would = [f"would write {', '.join(map(str, begun.files))}"]
    say(begun.to_dict(), as_json, *([*begun.said, *would] if dry_run else begun.lines()))
