"""`perdure update`: learn now."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
from rich.text import Text

from perdure.cli.directory import (
    ACTOR,
    HERE,
    REFUSED,
    Directory,
    DryRun,
    Json,
    bar,
    opened,
    say,
)

Reason = Annotated[str, typer.Option(help="Why; it is written down.")]
Release = Annotated[
    bool, typer.Option("--release", help="Learn the rows too that the gate had set aside.")
]
But = Annotated[
    list[str] | None, typer.Option(help="A source whose rows stay aside; may be said again.")
]


def update(
    reason: Reason = "asked for by hand",
    release: Release = False,
    but: But = None,
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Fold the new rows into a challenger, have the gate look, and promote it if the mode says so.

    Where `perdure serve` runs, its updater does the work; otherwise it is done here. Interrupted,
    the next update goes on where this one stopped. Exit code 1: the gate did not let it pass.

    For example:

        perdure update
        perdure update --reason "spring collection" --json
        perdure update --release --but scraper
    """
    from perdure.live.conclusion import release as let_go
    from perdure.live.conclusion import verdict_of
    from perdure.live.updater import waited_for

    # What it warns of is the job's own error, which is said below.
    logging.getLogger("perdure.live.updater").setLevel(logging.ERROR)
    with opened(directory) as project:
        if dry_run:
            new = project.log.count(getattr(project.registry.champion(), "upto", 0))
            say({"new": new}, as_json, f"{new} new rows would be learnt")
            return
        if release:
            let_go(project, ACTOR, reason, but or ())
        job = project.jobs.ask("update", reason, ACTOR)
        with bar(as_json) as progress:
            task = progress.add_task(f"update {job.id}", total=None)
            job = waited_for(
                project, job, lambda done, of: progress.update(task, completed=done, total=of)
            )
        verdict = verdict_of(project, job)
    answer = {"job": vars(job), "verdict": None if verdict is None else verdict.to_dict()}
    told = Text(job.error, style="red") if job.error else Text(f"version {job.version}")
    say(answer, as_json, told, *([verdict] if verdict else []))
    if job.state != "done":
        raise typer.Exit(2)
    if verdict is not None and verdict.word != "promote":
        raise typer.Exit(REFUSED)
