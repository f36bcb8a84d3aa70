"""`perdure track`: tell trackers at once what they do not know yet."""

from __future__ import annotations

import typer

from perdure.cli.directory import HERE, REFUSED, Directory, Json, opened, say
from perdure.errors import InvalidValue


def track(directory: Directory = HERE, as_json: Json = False) -> None:
    """Send updates, verdicts and versions to MLflow or TensorBoard, as [tracking] says, now.

    The updater does so by itself after every update; this is for a tracker that was away, and to
    see what is wrong with one. Exit code 1: a tracker was not told.

    For example:

        perdure track
        perdure track --json
    """
    from dataclasses import asdict

    from perdure.live.tracking import send

    with opened(directory) as project:
        if not project.settings.tracking.to:
            raise InvalidValue(
                'nothing is tracked: put to = ["mlflow"] under [tracking] in perdure.toml'
            )
        told = send(project)
    lines = [f"{name}: told up to update {job}" for name, job in told.jobs.items()]
    lines += [told.problem] if told.problem else []
    say(asdict(told), as_json, *(lines or ["no update has ended yet: there is nothing to tell"]))
    if told.problem:
        raise typer.Exit(REFUSED)
