"""`perdure tokens`: who may do what over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.directory import ACTOR, HERE, Directory, DryRun, Json, opened, say, table, when

tokens = typer.Typer(help="Make, list and revoke tokens of the HTTP service.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Whose it is: it stands in the audit log.")]
Roles = Annotated[
    str, typer.Option(help="Of predict, ingest, operate and admin, separated by commas.")
]
Days = Annotated[float | None, typer.Option(help="After which it expires.", min=0.0)]
Id = Annotated[str, typer.Argument(help="As `perdure tokens list` shows it.")]


@tokens.command()
def create(
    name: Name,
    roles: Roles = "predict,ingest",
    days: Days = None,
    directory: Directory = HERE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a token, and show it this once; only its hash is kept.

    For example:

        perdure tokens create shop --roles predict,ingest
        perdure tokens create me --roles admin --days 30
    """
    import time

    from perdure.live.tokens import Tokens

    expires = None if days is None else time.time() + days * 86400
    with opened(directory) as project:
        held = Tokens(project.database)
        if dry_run:
            wanted = held.vet(name, roles.split(","), expires)
            say({"roles": wanted}, as_json, f"{name} would get {', '.join(wanted)}")
            return
        text = held.create(name, roles.split(","), expires, actor=ACTOR)
    say({"token": text}, as_json, text)


@tokens.command("list")
def list_all(directory: Directory = HERE, as_json: Json = False) -> None:
    """List tokens; what is secret of them is nowhere.

    For example:

        perdure tokens list
    """
    from perdure.live.tokens import Tokens

    with opened(directory) as project:
        held = Tokens(project.database).all()
    rows = (
        (t.id, t.name, ",".join(t.roles), when(t.created), when(t.expires), when(t.revoked))
        for t in held
    )
    shown = table("Tokens", ("id", "name", "roles", "made", "expires", "revoked"), rows)
    say([{**vars(t), "roles": list(t.roles)} for t in held], as_json, shown)


@tokens.command()
def revoke(
    token: Id, directory: Directory = HERE, dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Let a token open nothing from now on.

    For example:

        perdure tokens revoke 0e4bd1a2c3f5
    """
    from perdure.live.refusals import NotFound
    from perdure.live.tokens import Tokens

    with opened(directory) as project:
        held = Tokens(project.database)
        if not dry_run:
            held.revoke(token, ACTOR)
        elif held.get(token) is None:
            raise NotFound("no live token has this id", field="token", value=token)
    told = f"token {token} {'would be' if dry_run else 'is'} revoked"
    say({"revoked": None if dry_run else token}, as_json, told)
