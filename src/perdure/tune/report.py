"""What a search found: a table, plain values, and a page that needs no other file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

import perdure
from perdure.bench.report.colours import colours
from perdure.bench.table import scaled
from perdure.bench.tuning import Choice
from perdure.errors import require
from perdure.figure import INK, figure
from perdure.tune.outcome import Outcome, Prefer, choose, front

SIZE = (4.9, 3.6)
RULES = {
    "accuracy": "the most accurate on rows held out of past spans; ties go to less forgetting",
    "forgetting": "of those within 2 points of the most accurate, the one that forgets least",
    "cost": "of those within 2 points of the most accurate, the one with the fewest FLOPs",
}


@dataclass(frozen=True)
class Found:
    """A search that has ended, and what is taken from it.

    Args:
        title: the stream of the past, for people.
        outcomes: of all trials.
        winner: the one that is taken.
        prefer: by which rule.
        refused: why a method could not be tried, by method.
    """

    title: str
    outcomes: tuple[Outcome, ...]
    winner: Outcome
    prefer: Prefer
    refused: dict[str, str]

    @property
    def front(self) -> list[Outcome]:
        """Those that nobody beats."""
        return front(self.outcomes)

    @property
    def lead(self) -> str:
        """Counts, in a sentence."""
        states = Counter(one.state for one in self.outcomes)
        spans = max(len(one.course) for one in self.outcomes)
        return (
            f"{len(self.outcomes)} trials over {spans} spans: {states['done']} went to the end, "
            f"{states['pruned']} were stopped before, {states['failed']} failed. Taken: "
            f"{RULES[self.prefer]}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "title": self.title,
            "rule": RULES[self.prefer],
            "winner": self.winner.to_dict(),
            "front": [one.to_dict() for one in self.front],
            "trials": [one.to_dict() for one in self.outcomes],
            "refused": self.refused,
        }


def choices(found: Found, scenario: str) -> list[Choice]:
    """The best of each method by the same rule, the winner's first."""
    methods = dict.fromkeys([found.winner.candidate.method])
    methods |= dict.fromkeys(one.candidate.method for one in found.outcomes if one.state == "done")
    made = []
    for method in methods:
        mine = [one for one in found.outcomes if one.candidate.method == method]
        best = choose(mine, found.prefer)
        said = best.candidate
        settings = dict(said.settings)
        tried = len({one.candidate.key for one in mine})
        made.append(Choice(method, scenario, settings, said.lr, best.last.accuracy, tried))
    return made


def table(found: Found) -> Table:
    """The front, the most accurate first; the winner is marked."""
    made = Table(
        title=f"{found.title}: nobody beats these in all three",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    made.add_column("")
    made.add_column("candidate", overflow="fold")
    for name in ("accuracy", "forgetting", "FLOPs", "seconds", "memory"):
        made.add_column(name, justify="right")
    for one in found.front:
        mark = "*" if one.candidate == found.winner.candidate else ""
        made.add_row(mark, str(one.candidate), *cells(one))
    return made


def cells(one: Outcome) -> tuple[str, ...]:
    """Accuracy, forgetting, FLOPs, seconds and memory, for people."""
    last = one.last
    return (
        f"{last.accuracy:.1%}",
        f"{last.forgetting:.1%}",
        scaled(last.flops),
        f"{last.seconds:.2f}",
        f"{last.state_bytes / 2**20:.2f} MiB",
    )


def write_page(found: Found, path: Path) -> Path:
    """Write one HTML file with the front as plots and tables.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    jinja = require("jinja2", "lab")
    environment = jinja.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja.StrictUndefined
    )
    template = environment.from_string((files(__package__) / "page.html.j2").read_text("utf-8"))
    done = [one for one in found.outcomes if one.state == "done"]
    text = template.render(
        found=found,
        cells=cells,
        plots=[
            _plot("Accuracy and cost", found, done, "flops"),
            _plot("Accuracy and forgetting", found, done, "forgetting"),
        ],
        names=_coloured(done),
        perdure=perdure.__version__,
    )
    path.write_text(text, encoding="utf-8")
    return path


def _plot(title: str, found: Found, done: Sequence[Outcome], against: str) -> str:
    """Accuracy against another aim: filled on the front, hollow below it, the winner ringed."""
    best = {one.candidate.key for one in found.front}
    colour = _coloured(done)

    def draw(axes: Any) -> None:
        for one in done:
            x, shade = getattr(one.last, against), colour[one.candidate.method]
            x = x if against == "flops" else 100 * x
            fill = shade if one.candidate.key in best else "none"
            look = {"s": 34, "facecolors": fill, "edgecolors": shade, "zorder": 2}
            axes.scatter(x, 100 * one.last.accuracy, **look)
            if one == found.winner:
                ring = {"s": 150, "facecolors": "none", "edgecolors": INK, "linewidths": 1.2}
                axes.scatter(x, 100 * one.last.accuracy, **ring)
        if against == "flops" and all(one.last.flops > 0 for one in done):
            axes.set_xscale("log")
        axes.set_xlabel("FLOPs" if against == "flops" else "forgetting, points")
        axes.set_ylabel("accuracy, %")

    return figure(f"{title} of every trial that went to the end", SIZE, draw)


def _coloured(done: Sequence[Outcome]) -> dict[str, str]:
    methods = list(dict.fromkeys(one.candidate.method for one in done))
    held = colours(methods)
    return {method: held[method] for method in methods}
