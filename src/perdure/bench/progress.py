"""A grid's progress on a terminal: a bar for all runs, and one for each in progress."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from perdure.bench.pool import Event, Progressed
from perdure.bench.result import NoResult, Record


def follow(events: Generator[Event, None, None], total: int, console: Console) -> int:
    """Show events as they come, to the end; the number of runs that failed.

    Where the console is no terminal, a line for each finished run stands for the bars.

    Args:
        events: of `run_grid`.
        total: runs that are to be done.
        console: where to show them.
    """
    failed = 0
    with closing(events), _bars(console) as bars:
        shown = _Shown(bars, total)
        for event in events:
            if isinstance(event, Progressed):
                shown.move(event)
                continue
            shown.end(event)
            failed += isinstance(event, NoResult) and event.status == "failed"
            if not console.is_terminal:
                console.print(said(event), soft_wrap=True, markup=False, highlight=False)
    return failed


class _Shown:
    """The bar of all runs, and that of each run in progress."""

    def __init__(self, bars: Progress, total: int) -> None:
        self.bars = bars
        self.whole = bars.add_task("all runs", total=total)
        self.runs: dict[str, TaskID] = {}

    def move(self, event: Progressed) -> None:
        key = event.experiment.key
        if key not in self.runs:
            self.runs[key] = self.bars.add_task(event.experiment.title, total=event.total)
        self.bars.update(self.runs[key], completed=event.done)

    def end(self, record: Record) -> None:
        bar = self.runs.pop(record.experiment.key, None)
        if bar is not None:
            self.bars.remove_task(bar)
        self.bars.advance(self.whole)


def said(record: Record) -> str:
    """A finished run in one line."""
    if isinstance(record, NoResult):
        return f"{record.experiment.title}: {record.status}: {record.reason}"
    accuracy = record.matrix.accuracy()
    shown = "accuracy not measured" if accuracy is None else f"accuracy {accuracy:.1%}"
    return f"{record.experiment.title}: {shown}, {record.cost.seconds:.1f} s"


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
