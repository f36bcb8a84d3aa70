"""Advice, and the table of what fits what, for people to read on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from perdure.advise.advice import Advice
from perdure.advise.architecture import NAMES, Architecture
from perdure.advise.compatibility import Cell
from perdure.advise.sample import Sample
from perdure.scenario import Scenario

TITLES = {
    Scenario.TASK: "task-incremental (task)",
    Scenario.DOMAIN: "domain-incremental (domain)",
    Scenario.CLASS: "class-incremental (class)",
    Scenario.FREE: "task-free (free)",
}
LETTERS = {
    Architecture.FIXED: "F",
    Architecture.GROWING: "G",
    Architecture.MULTI_HEAD: "M",
    Architecture.PROGRESSIVE: "P",
    Architecture.GATED: "A",
    Architecture.CONSOLIDATED: "K",
    Architecture.COSINE: "C",
    Architecture.LORA: "L",
    Architecture.PROMPTED: "T",
    Architecture.POOL: "Q",
    Architecture.HEADLESS: "N",
    Architecture.OTHER: "O",
}

LONGEST = len("generative-replay,")


def print_advice(advice: Advice, sample: Sample | None, console: Console) -> None:
    """Print the advice under headings; commands and code as they are, to be copied."""
    for title, body in _sections(advice, sample):
        console.print(Text(f"\n{title}", style="bold"))
        console.print(Padding(body, (0, 0, 0, 2), expand=False))
    for title, lines in (("Next", "\n".join(advice.commands)), ("In code", advice.code)):
        console.print(Text(f"\n{title}", style="bold"))
        console.print(lines, markup=False, highlight=False, soft_wrap=True)


def print_table(cells: Iterable[Cell], console: Console) -> None:
    """Print methods against scenarios, with a letter for each architecture that is possible."""
    found: dict[str, dict[Scenario, str]] = {}
    for cell in cells:
        row = found.setdefault(cell.method, dict.fromkeys(Scenario, ""))
        row[cell.scenario] += LETTERS[cell.architecture] if cell.verdict.possible else "·"
    rows = [(method, *(row[scenario] for scenario in Scenario)) for method, row in found.items()]
    console.print(_table(("method", *Scenario), rows))
    console.print()
    for architecture, letter in LETTERS.items():
        console.print(f"{letter}  {NAMES[architecture]}")
    console.print("·  impossible; --json says why, and what would fit")


def _sections(advice: Advice, sample: Sample | None) -> Iterator[tuple[str, RenderableType]]:
    if sample is not None:
        yield "In the sample", _bullets(sample.measured)
        if sample.unmeasured:
            yield "Not in the sample", _bullets(sample.unmeasured)
    yield f"Scenario: {TITLES[advice.scenario]}", _bullets([advice.because])
    yield f"What to do: {advice.course}", _bullets(advice.reasons)
    tries = [
        (str(place), one.method, NAMES[one.architecture], one.reason)
        for place, one in enumerate(advice.tries, 1)
    ]
    yield "Try, in this order", _table(("", "method", "on", "why"), tries)
    yield "See to it", _bullets(advice.notes)
    if advice.impossible:
        limits = [(one.what, one.reason, one.instead) for one in advice.impossible]
        yield "What cannot work here", _table(("what", "why", "what would fit"), limits)
    if advice.depends:
        missing = [
            (one.question, "yes" if one.assumed else "no", one.otherwise) for one in advice.depends
        ]
        yield (
            "You did not say, and it would change this advice",
            _table(("question", "assumed", "otherwise"), missing),
        )


def _bullets(lines: Iterable[str]) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row(Text("-"), Text(line))
    return table


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for title in titles:
        short = title in {"", "method", "on", "assumed"}
        # The first column holds names, which a break would spoil.
        least = None if short or table.columns else LONGEST
        table.add_column(title, header_style="dim", no_wrap=short, min_width=least)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
