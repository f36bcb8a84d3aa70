"""`perdure rollback`: back to the version that served before."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.directory import ACTOR, HERE, Directory, DryRun, Json, opened, say

Reason = Annotated[str, typer.Option(help="Why; it is written down.")]


def rollback(
    reason: Reason,
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Go back to the last version that really served: model, memory and detectors, at once.

    For example:

        perdure rollback --reason "complaints about returns"
    """
    with opened(directory) as project:
        if dry_run:
            number = project.registry.beneath()
        else:
            number = project.registry.rollback(actor=ACTOR, reason=reason).version
    told = f"version {number} {'would serve' if dry_run else 'serves'} again"
    say({"version": number, "rolled_back": not dry_run}, as_json, told)
