"""`perdure freeze`: stop learning, go on serving."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.directory import ACTOR, HERE, Directory, DryRun, Json, opened, say

Reason = Annotated[str, typer.Option(help="Why; it is written down.")]


def freeze(
    reason: Reason,
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Start no update and promote nothing by itself, until `perdure unfreeze`.

    For example:

        perdure freeze --reason "outage upstream: drift is not drift"
    """
    from perdure.live.freezing import freeze as stop

    with opened(directory) as project:
        if dry_run:
            say({"frozen": False}, as_json, "it would serve and store, and learn nothing")
            return
        held = stop(project.database, ACTOR, reason)
    say(vars(held), as_json, "frozen: it serves and stores, and learns nothing")
