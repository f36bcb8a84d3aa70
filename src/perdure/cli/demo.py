"""`perdure demo`: the whole loop, live, in under two minutes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.directory import console

if TYPE_CHECKING:
    from perdure.live.demo.play import Played
    from perdure.live.report import Section

Out = Annotated[Path | None, typer.Option(help="Folder for the state directory and report.html.")]
Lab = Annotated[bool, typer.Option("--lab", help="Four learners side by side, without a service.")]
Seeds = Annotated[int, typer.Option(help="With --lab: times that each learner lives it.", min=1)]


def demo(lab: Lab = False, seeds: Seeds = 3, out: Out = None) -> None:
    """Watch a service on loopback live through new classes, drift, poison, an erasure, a rollback.

    Handwritten digits come in over HTTP, some classes later than others, then all of them
    inverted. The loop notices, learns, lets the gate look and promotes, while questions never stop.
    Compared with a model left alone, with naive fine-tuning and with retraining from scratch. Needs
    no download, writes report.html, ends by itself within two minutes.

    For example:

        perdure demo
        perdure demo --lab --seeds 1
        perdure serve -C runs/demo        # afterwards: the dashboard
    """
    if lab:
        _lab(seeds, out or Path("runs/lab"))
        return
    try:
        _live(out or Path("runs/demo"))
    except KeyboardInterrupt:
        console.print("\nStopped, and the service with it.")
        raise typer.Exit(130) from None


def _live(out: Path) -> None:
    from perdure.errors import require

    for module in ("sklearn.datasets", "matplotlib"):  # better said now than in a minute
        require(module, "lab")

    import torch

    from perdure.live.demo.comparison import comparison, rivals
    from perdure.live.demo.play import play
    from perdure.live.demo.scenes import scenes
    from perdure.live.project import Project
    from perdure.live.report import Section, write_report

    torch.set_num_threads(1)  # small models learn fastest so, beside a service above all
    learnt, poison = scenes()
    console.print("[bold]A service that keeps learning[/], on handwritten digits, over HTTP\n")
    told: list[tuple[str, str, str]] = []
    played = play(out, learnt, poison, _teller(told))
    with Project(out) as project:
        compared = comparison(project, rivals(project, played, learnt), learnt)
        story = Section("What happened", ("", "Event", "In words"), told, words=True)
        said = _conclusion(played)
        parts = (compared, story)
        report = write_report(project, out / "report.html", "perdure demo", said, parts)
    _show(compared)
    for line in ("", said, "", f"Report: {report}", f"Dashboard: perdure serve -C {out}"):
        _say(line)
    if played.failures:
        _say(f"first failure: {played.failures[0]}", "red")
        raise typer.Exit(2)


def _teller(told: list[tuple[str, str, str]]) -> Callable[[str, str], None]:
    """Prints events as they come, with the seconds since now, and notes them down."""
    import time

    from rich.text import Text

    start = time.monotonic()

    def tell(event: str, said: str) -> None:
        at = f"{time.monotonic() - start:.1f} s"
        told.append((at, event, said))
        head = Text(f"{event}: ", "bold") if event else Text("  ")
        _say(Text.assemble((f"{at:>7}  ", "dim"), head, said))

    return tell


def _say(line: Any, style: str = "") -> None:
    """Print a line, broken between words for a terminal and not at all for a file."""
    console.print(line, style=style, soft_wrap=not console.is_terminal, markup=False)


def _conclusion(played: Played) -> str:
    return (
        f"{played.requests} questions were answered meanwhile, {len(played.failures)} failed; "
        f"99 of 100 within {1000 * played.slowest:.0f} ms. The gate's word on the poisoned rows: "
        f"{played.poison}. The rollback took {played.rollback_seconds:.2f} s."
    )


def _show(section: Section) -> None:
    """A table as plain text, no wider than a terminal, and what its numbers rest on."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in section.columns:
        made.add_column(column, justify="right" if column else "left", no_wrap=True)
    for place, row in enumerate(section.rows):
        made.add_row(*row, style="bold" if place == section.emphasis else "")
    _say(f"\n{section.title}\n", "bold")
    console.print(made)
    _say(f"\n{section.note}", "dim")


def _lab(seeds: int, out: Path) -> None:
    from perdure.bench.demo import Play, conclusion, experiments
    from perdure.bench.report import write_report
    from perdure.bench.story import costs, matrices, tell

    staged = Play(experiments(seeds))
    tell(staged, console)
    results = staged.results()
    said = conclusion(results)
    console.print("\nEach task (rows) after each (columns):")
    console.print(matrices(results))
    console.print(costs(results))
    console.print(f"[bold]{said}[/]")
    console.print(f"\nReport: {write_report(results, out / 'report.html', 'perdure demo', said)}")
