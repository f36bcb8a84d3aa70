"""`perdure erase`: forget a subject for good."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from perdure.cli.directory import ACTOR, HERE, Directory, DryRun, Json, opened, say

Subject = Annotated[str, typer.Option(help="Whose rows must go.")]
Rebuild = Annotated[
    Literal["none", "exact", "scheduled"],
    typer.Option(
        help="exact: train again from before the subject's first row; scheduled: at the next "
        "retraining from scratch; none: the versions that learnt from the rows stay, marked."
    ),
]


def erase(
    subject: Subject,
    rebuild: Rebuild = "none",
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Remove every byte of SUBJECT: log, memories, held-out rows, predictions, old versions.

    Later rows of the subject are refused. A receipt says what was done and what remains.

    For example:

        perdure erase --subject user-17 --dry-run
        perdure erase --subject user-17 --rebuild exact
    """
    from perdure.live.erasure import erase as remove

    with opened(directory) as project:
        receipt = remove(project, subject, ACTOR, rebuild=rebuild, dry_run=dry_run)
    say(receipt.to_dict(), as_json, str(receipt))
