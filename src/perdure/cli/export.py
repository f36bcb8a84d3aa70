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
Form = Annotated[
    Literal["safetensors", "onnx", "torch-export"],
    typer.Option(
        "--format",
        help="safetensors: tensors, for perdure; onnx and torch-export: a graph that answers "
        "without it, checked against the version's own answers.",
    ),
]


def export(
    target: Target,
    version: Version = "champion",
    part: Part = "learner",
    form: Form = "safetensors",
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Write a version with what serving it needs to the directory TARGET.

    For example:

        perdure export ../release
        perdure export ../release --version 7 --part model
        perdure export ../release --format onnx
    """
    from perdure.live.exporting import export as write

    with opened(directory) as project:
        held = write(project, version_of(version), target, part, form, write=not dry_run)
    where = f"{'would lie' if dry_run else 'lies'} in {target}"
    lines = [f"version {held['version']} {where}"]
    if "graph" in held:
        graph = held["graph"]
        lines.append(
            f"on {graph['rows']} rows the graph answers as the version does, to within "
            f"{graph['largest_difference']:.1g}"
        )
    say(held, as_json, *lines)
