"""The command line: one verb a file, torch imported only by the verbs that need it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from perdure import __version__
from perdure.cli.advise import advise
from perdure.cli.bench import bench
from perdure.cli.demo import demo
from perdure.cli.methods import methods
from perdure.cli.report import report
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
for verb in (demo, bench, report, methods, advise):
    app.command()(verb)


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
        said = Text.assemble(("perdure: ", "bold red"), str(error))
        Console(stderr=True).print(said, soft_wrap=True)
        sys.exit(2)
