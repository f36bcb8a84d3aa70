"""`perdure fsck`: is everything as it should be?"""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.directory import HERE, Directory, Json, opened, say, table

Repair = Annotated[bool, typer.Option("--repair", help="Mend what can be mended safely.")]


def fsck(repair: Repair = False, directory: Directory = HERE, as_json: Json = False) -> None:
    """Verify every checksum and invariant of the directory. Exit code 2: something is damaged.

    For example:

        perdure fsck
        perdure fsck --repair
    """
    from perdure.live.fsck import fsck as check

    with opened(directory) as project:
        findings = check(project, repair=repair)
    shown = table(
        "Findings",
        ("severity", "where", "what", "what to do"),
        ((one.severity, one.where, one.what, one.advice) for one in findings),
    )
    answer = [one.to_dict() for one in findings]
    say(answer, as_json, shown if findings else "clean: every checksum and invariant holds")
    if any(one.severity == "damaged" for one in findings):
        raise typer.Exit(2)
