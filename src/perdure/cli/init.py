"""`perdure init`: begin a state directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from perdure.cli.directory import DryRun, Json, say
from perdure.errors import InvalidValue

Target = Annotated[Path, typer.Argument(help="The directory to make.")]
Kind = Annotated[
    Literal["table", "image", "text", "tensor"] | None,
    typer.Option(help="What a row is; found out from the sample where one is given."),
]
Sample = Annotated[
    Path | None,
    typer.Option(help="Rows to infer the schema from: .csv, .parquet, .jsonl, .npz, or a folder."),
]
AsText = Annotated[bool, typer.Option("--text", help="Rows are texts: --kind text.")]
AsImage = Annotated[bool, typer.Option("--image", help="Rows are pictures: --kind image.")]
AsTable = Annotated[bool, typer.Option("--tabular", help="Rows are of a table: --kind table.")]
Scratch = Annotated[
    bool,
    typer.Option(
        "--scratch",
        help="A small network that learns everything from your rows. Without it, texts and "
        "pictures go through a frozen pretrained encoder where one is installed "
        "(perdure[text], perdure[vision]).",
    ),
]
Label = Annotated[str | None, typer.Option(help="The sample's column with the class.")]
Name = Annotated[str | None, typer.Option(help="Of the model; the directory's unless given.")]
Force = Annotated[bool, typer.Option("--force", help="Write over perdure.toml and model.py.")]


def init(  # noqa: PLR0913, PLR0917  each is an option
    directory: Target,
    kind: Kind = None,
    text: AsText = False,
    image: AsImage = False,
    tabular: AsTable = False,
    scratch: Scratch = False,
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
        perdure init intents --text --sample intents.jsonl
        perdure init digits --image --scratch
        cd shop && perdure ingest orders.csv && perdure update && perdure serve
    """
    from perdure.live.start import begin

    begun = begin(
        directory,
        _one(kind, text=text, image=image, table=tabular),
        sample=sample,
        label=label,
        name=name,
        scratch=scratch,
        force=force,
        write=not dry_run,
    )
    would = [f"would write {', '.join(map(str, begun.files))}"]
    say(begun.to_dict(), as_json, *([*begun.said, *would] if dry_run else begun.lines()))


def _one(kind: Any, **flags: bool) -> Any:
    """The kind that was said, in whichever way."""
    said = {name for name, given in flags.items() if given} | ({kind} if kind else set())
    if len(said) > 1:
        raise InvalidValue(f"rows are of one kind, and {' and '.join(sorted(said))} were said")
    return next(iter(said), None)
