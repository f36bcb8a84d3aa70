"""`perdure promote`: let a version serve."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.directory import (
    ACTOR,
    HERE,
    REFUSED,
    Directory,
    DryRun,
    Json,
    opened,
    say,
    version_of,
)

Version = Annotated[str, typer.Argument(help="Its number, or an alias.")]
Reason = Annotated[str, typer.Option(help="Why; it is written down.")]
Force = Annotated[bool, typer.Option("--force", help="Although the gate did not let it pass.")]
Generation = Annotated[
    int | None, typer.Option(help="Refuse if any alias has moved since this generation.")
]


def promote(
    version: Version = "challenger",
    reason: Reason = "promoted by hand",
    if_generation: Generation = None,
    force: Force = False,
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make VERSION the champion; a running service switches to it without losing a request.

    Exit code 1: the gate did not let it pass, and --force was not given.

    For example:

        perdure promote
        perdure promote 7 --reason "checked by the pricing team"
    """
    with opened(directory) as project:
        held = project.registry.get(version_of(version))
        if held.state != "blessed" and not force:
            told = f"version {held.version} is {held.state}; --force promotes it all the same"
            say({"promoted": False, "state": held.state}, as_json, told)
            raise typer.Exit(REFUSED)
        if dry_run:
            project.registry.check(held.version)
        else:
            project.registry.promote(
                held.version, actor=ACTOR, reason=reason, if_generation=if_generation
            )
        generation = project.registry.generation()
    answer = {"promoted": not dry_run, "version": held.version, "generation": generation}
    told = f"version {held.version} {'would serve' if dry_run else 'serves'}"
    say(answer, as_json, told)
