"""The demo as it is told on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.columns import Columns
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from perdure.bench.demo import LEARNERS, Play, Scene
from perdure.bench.result import Result
from perdure.bench.table import MEASURES, lines
from perdure.bench.table import cell as shown

WIDTH = 13
NAME = 28
SHADES = ((0.9, "black on green3"), (0.7, "black on dark_olive_green3"), (0.5, "black on gold3"))
LOW = "white on dark_red"


def tell(play: Play, console: Console) -> None:
    """Let the play run, with a line for each scene: who still answers what was learned so far."""
    seeds = len({run.seed for run in play.runs})
    console.print("[bold]Four learners, one stream of handwritten digits[/]")
    console.print(
        f"Accuracy on all that came so far, in percent, mean of {seeds} seed{'s' * (seeds > 1)}.\n"
    )
    heads = "".join(f"{name:>{WIDTH}}" for name in LEARNERS.values())
    console.print(f"[dim]{'what comes':<{NAME}}{heads}[/]")
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bars:
        bar = bars.add_task("learning", total=len(play.runs) * (1 + len(play.stream)))
        for event in play.scenes():
            if isinstance(event, Scene):
                bars.console.print(_line(event))
            else:
                bars.advance(bar)


def matrices(results: Sequence[Result]) -> Columns:
    """Each learner's accuracy matrix, mean over seeds: rows are tasks, columns time."""
    return Columns([_matrix(line.label, line.results) for line in lines(results)], padding=(1, 3))


def costs(results: Sequence[Result]) -> Table:
    """Accuracy, forgetting and what each learner spent."""
    names = ("accuracy", "forgetting", "updates", "flops", "seconds", "state_bytes")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("learner", no_wrap=True, style="bold")
    for name in names:
        table.add_column(MEASURES[name].title, justify="right", no_wrap=True)
    for line in lines(results):
        table.add_row(LEARNERS[line.label], *(shown(line, name) for name in names))
    return table


def _line(scene: Scene) -> Text:
    text = Text(f"{_comes(scene):<{NAME}}")
    for method in LEARNERS:
        accuracy = scene.accuracy[method]
        text.append(" " * (WIDTH - 7))
        text.append(f"{100 * accuracy:6.1f} ", _shade(accuracy))
    return text


def _comes(scene: Scene) -> str:
    if scene.task < 0:
        return scene.name
    if "+" in scene.name:
        return f"digits {scene.name.replace('+', ' and ')} arrive"
    return f"all digits again: {scene.name}"


def _matrix(label: str, results: Sequence[Result]) -> Table:
    table = Table(
        title=f"{LEARNERS[label]} ({label})",
        title_style="bold",
        box=None,
        padding=0,
        show_header=False,
    )
    values = np.mean([result.matrix.array for result in results], axis=0)
    for name, row in zip(results[0].matrix.tasks, values, strict=True):
        cells = [Text(f"{100 * value:4.0f} ", _shade(value)) for value in row]
        table.add_row(f"{name:>9} ", *cells)
    return table


def _shade(accuracy: float) -> str:
    return next((style for least, style in SHADES if accuracy >= least), LOW)
