"""The command line: one verb a file, torch imported only by the verbs that need it."""

from __future__ import annotations

import sys
from inspect import cleandoc
from textwrap import dedent
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from perdure import __version__
from perdure.cli.advise import advise
from perdure.cli.anchor import anchor
from perdure.cli.bench import bench
from perdure.cli.demo import demo
from perdure.cli.diff import diff
from perdure.cli.drift import drift
from perdure.cli.erase import erase
from perdure.cli.eval import evaluate
from perdure.cli.export import export
from perdure.cli.freeze import freeze
from perdure.cli.fsck import fsck
from perdure.cli.ingest import ingest
from perdure.cli.init import init
from perdure.cli.label import label
from perdure.cli.lifecycle import lifecycle
from perdure.cli.methods import methods
from perdure.cli.promote import promote
from perdure.cli.report import report
from perdure.cli.rollback import rollback
from perdure.cli.serve import serve
from perdure.cli.status import status
from perdure.cli.tokens import tokens
from perdure.cli.track import track
from perdure.cli.tune import tune
from perdure.cli.unfreeze import unfreeze
from perdure.cli.update import update
from perdure.errors import PerdureError

__all__ = ["main"]

app = typer.Typer(
    name="perdure",
    help="Continual learning for PyTorch: models that keep learning without forgetting.",
    epilog="Start with:  perdure demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
LAB = (demo, bench, tune, lifecycle, report, methods, advise)
LOOP = (init, serve, ingest, label, status, drift, update, promote, rollback)
CARE = (anchor, diff, freeze, unfreeze, erase, fsck, export, track)
for verbs, panel in ((LAB, "The lab"), (LOOP, "The live loop"), (CARE, "Care of the loop")):
    for verb in verbs:
        app.command(rich_help_panel=panel)(verb)
app.command("eval", rich_help_panel="Care of the loop")(evaluate)
app.add_typer(tokens, name="tokens", rich_help_panel="Care of the loop")
for command in (*app.registered_commands, *tokens.registered_commands):
    # typer takes the indentation of examples away, and they would run into one line
    before, mark, examples = cleandoc(command.callback.__doc__ or "").partition("For example:")
    fenced = f"{before}{mark}\n\n```text\n{dedent(examples).strip()}\n```"
    command.help = fenced if mark else before


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"perdure {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say it, and stop."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; a mistake of the user's is one sentence and exit code 2."""
    try:
        app()
    except PerdureError as error:
        _end(str(error))
    except OSError as error:  # no room, no such file, no right to it
        _end(str(error) if error.filename is None else f"{error.filename}: {error.strerror}")
    except Exception as error:
        sqlite = sys.modules.get("sqlite3")  # loaded by the verbs alone that need it
        if sqlite is None or not isinstance(error, sqlite.Error):
            raise
        _end(f"the database says: {error}; see `perdure fsck`, and whether disk and rights allow")


def _end(reason: str) -> NoReturn:
    said = Text.assemble(("perdure: ", "bold red"), reason)
    Console(stderr=True).print(said, soft_wrap=True)
    sys.exit(2)
