"""The state directory that a verb works on, and how its answer is printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress

    from perdure.live.project import Project

REFUSED = 1
ACTOR = "operator"

Directory = Annotated[
    Path,
    typer.Option("--directory", "-C", envvar="PERDURE_DIRECTORY", help="The state directory."),
]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")]
HERE = Path()

console = Console(highlight=False)


def opened(directory: Path) -> Project:
    """The project in a directory, to be used as a context manager."""
    from perdure.live.project import Project

    return Project(directory)


def say(answer: Any, as_json: bool, *lines: Any) -> None:
    """Print the answer as JSON, or the lines for people; what brackets hold is no markup."""
    if as_json:
        print(json.dumps(answer, indent=1, default=str))
        return
    for line in lines:
        console.print(line, soft_wrap=isinstance(line, str | Text), markup=False)


def bar(as_json: bool) -> Progress:
    """Progress, for whoever looks at a terminal."""
    from rich.progress import Progress

    return Progress(console=console, disable=as_json or not console.is_terminal, transient=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Group:
    """A table of plain values under its title; None is shown as a dash."""
    made = Table(header_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        made.add_column(Text(column), overflow="fold")
    for row in rows:
        made.add_row(*[Text("-" if cell is None else str(cell)) for cell in row])
    return Group(Text(title, style="bold"), made)


def version_of(text: str) -> int | str:
    """A version as it was typed: its number, or an alias."""
    return int(text) if text.isdigit() else text


def when(seconds: float | None) -> str:
    """A time as people write it, in UTC."""
    from datetime import UTC, datetime

    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def percent(share: float | None) -> str:
    """A share in percent."""
    return "-" if share is None else f"{100 * share:.1f} %"


def as_lines(held: Mapping[str, Any]) -> list[Text]:
    """Keys and values, a line each."""
    width = max(map(len, held), default=0)
    return [Text.assemble((f"{key:<{width}}", "dim"), f"  {held[key]}") for key in held]
