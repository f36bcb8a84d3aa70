"""`perdure serve`: the HTTP service and its updater."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.directory import HERE, Directory, opened

Host = Annotated[str | None, typer.Option(help="To listen on; the settings' unless given.")]
Port = Annotated[int | None, typer.Option(help="To listen on; the settings' unless given.", min=0)]
Alone = Annotated[bool, typer.Option("--no-updater", help="Serve and store; learn nothing.")]


def serve(
    host: Host = None, port: Port = None, no_updater: Alone = False, directory: Directory = HERE
) -> None:
    """Answer over HTTP, store what comes in, learn from it, and show a dashboard; Ctrl-C ends it.

    Every request needs a token: make one with `perdure tokens create`.

    For example:

        perdure serve
        perdure serve --port 9000 -C shop
    """
    from perdure.live.service.dashboard.routes import router
    from perdure.live.service.run import serve as run

    with opened(directory) as project:
        run(project, host, port, learn=not no_updater, pages=[router])
