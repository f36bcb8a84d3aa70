"""`perdure unfreeze`: learn again."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.directory import ACTOR, HERE, Directory, DryRun, Json, opened, say

Reason = Annotated[str, typer.Option(help="Why; it is written down.")]


def unfreeze(
    reason: Reason = "by hand",
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Go on after `perdure freeze`.

    For example:

        perdure unfreeze
    """
    from perdure.live.freezing import frozen
    from perdure.live.freezing import unfreeze as go_on

    with opened(directory) as project:
        held = frozen(project.database)
        if not dry_run:
            go_on(project.database, ACTOR, reason)
    was = "it was not frozen" if held is None else f"{held.actor} had frozen it: {held.reason}"
    told = f"it {'would learn' if dry_run else 'learns'} again; {was}"
    say({"frozen": dry_run and held is not None}, as_json, told)
