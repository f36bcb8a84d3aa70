"""`perdure export`: take a version out of the directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from perdure.cli.directory import HERE, Directory, DryRun, Json, opened, say, version_of

Target = Annotated[Path, typer.Argument(help="A directory to make.")]
Version = Annotated[str, typer.Option(help="A number or an alias.")]
Part = Annotated[
    Literal["learner", "model", "backbone"],
    typer.Option(
        help="learner: all that learning goes on from; model: the tensors alone; backbone: those "
        "below the head, bare of what grew."
    ),
]


def export(
    target: Target,
    version: Version = "champion",
    part: Part = "learner",
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Write a version with its settings, model file and classes to TARGET: all that serving needs.

    For example:

        perdure export ../release
        perdure export ../release --version 7 --part model
    """
    from perdure.live.exporting import export as write

    with opened(directory) as project:
        held = write(project, version_of(version), target, part, write=not dry_run)
    where = f"{'would lie' if dry_run else 'lies'} in {target}"
    say(held, as_json, f"version {held['version']} {where}")
