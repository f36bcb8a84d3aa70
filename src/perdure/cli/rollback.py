"""`perdure rollback`: back to the version that served before."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.directory import ACTOR, HERE, Directory, Json, opened, say

Reason = Annotated[str, typer.Option(help="Why; it is written down.")]


def rollback(reason: Reason, directory: Directory = HERE, as_json: Json = False) -> None:
    """Go back to the last version that really served: model, memory and detectors, at once.

    For example:

        perdure rollback --reason "complaints about returns"
    """
    with opened(directory) as project:
        held = project.registry.rollback(actor=ACTOR, reason=reason)
    say({"version": held.version}, as_json, f"version {held.version} serves again")
