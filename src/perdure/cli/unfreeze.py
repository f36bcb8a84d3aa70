"""`perdure unfreeze`: learn again."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.directory import ACTOR, HERE, Directory, Json, opened, say

Reason = Annotated[str, typer.Option(help="Why; it is written down.")]


def unfreeze(
    reason: Reason = "by hand", directory: Directory = HERE, as_json: Json = False
) -> None:
    """Go on after `perdure freeze`.

    For example:

        perdure unfreeze
    """
    from perdure.live.freezing import unfreeze as go_on

    with opened(directory) as project:
        go_on(project.database, ACTOR, reason)
    say({"frozen": None}, as_json, "it learns again")
