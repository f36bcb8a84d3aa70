"""Progress is a bar on a terminal and a line a run elsewhere."""

from __future__ import annotations

import io
from collections.abc import Generator
from dataclasses import replace

from rich.console import Console

from perdure.bench import NoResult, Result
from perdure.bench.pool import Event, Progressed
from perdure.bench.progress import follow, said


def test_elsewhere_there_is_a_line_for_each_finished_run(naive: Result) -> None:
    """Each as it comes, whole, in plain words; the number of those that failed comes back."""
    text = io.StringIO()
    assert 1 == follow(events(naive), 3, Console(file=text, width=40))
    assert [
        said(naive),
        "split digits / task / icarl / seed 0: refused: it [cannot] be",
        "split digits / task / si / seed 0: failed: it rained",
    ] == text.getvalue().strip().splitlines()


def test_on_a_terminal_there_is_a_bar_for_each_run_in_progress(naive: Result) -> None:
    """And one for all of them; none is left when all is done."""
    text = io.StringIO()
    console = Console(file=text, width=120, force_terminal=True)
    assert 1 == follow(events(naive), 3, console)
    assert "all runs" in text.getvalue()
    assert "split digits / task / naive / seed 0" in text.getvalue()
    assert "it rained" not in text.getvalue()


def test_a_line_says_accuracy_and_seconds(naive: Result) -> None:
    """Of the whole run."""
    line = said(naive)
    assert f"accuracy {naive.matrix.accuracy():.1%}, {naive.cost.seconds:.1f} s" in line


def test_the_events_are_closed_whatever_happens(naive: Result) -> None:
    """An interrupt between two events must end the processes behind them."""
    closed = []

    def interrupted() -> Generator[Event, None, None]:
        try:
            yield naive
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    try:
        follow(interrupted(), 2, Console(file=io.StringIO()))
    except KeyboardInterrupt:
        closed.append("and heard of")
    assert [True, "and heard of"] == closed


def events(naive: Result) -> Generator[Event, None, None]:
    yield Progressed(naive.experiment, 10, 30)
    yield Progressed(naive.experiment, 20, 30)
    yield naive
    yield NoResult(replace(naive.experiment, method="icarl"), "refused", "it [cannot] be")
    yield NoResult(replace(naive.experiment, method="si"), "failed", "it rained")
