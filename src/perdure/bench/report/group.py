"""What the page shows of one stream in one scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perdure.bench.report.headstart import HeadStart, conclusion, head_start, plot
from perdure.bench.report.heatmap import heatmap
from perdure.bench.report.tradeoff import tradeoff
from perdure.bench.report.trajectory import accuracy_so_far, forgetting_so_far, newest
from perdure.bench.table import MEASURES, Line, mean

COSTS = ("flops", "seconds", "state_bytes")


@dataclass(frozen=True)
class Panel:
    """A plot with its heading."""

    title: str
    svg: str


@dataclass(frozen=True)
class Group:
    """Everything about one stream in one scenario.

    Attributes:
        title: names both.
        lines: methods, refused ones included.
        heatmaps: one a method.
        over_tasks: accuracy and forgetting; empty where there is one task.
        costs: accuracy against each cost that is not zero for all.
        head_start: progressive networks against naive; empty without runs of both.
        head_start_plot: the same over all early updates.
        conclusion: of the head start, in a sentence.
    """

    title: str
    lines: tuple[Line, ...]
    heatmaps: tuple[Panel, ...]
    over_tasks: tuple[Panel, ...]
    costs: tuple[Panel, ...]
    head_start: tuple[HeadStart, ...] = ()
    head_start_plot: str = ""
    conclusion: str = ""

    @property
    def done(self) -> list[Line]:
        """The methods that have results."""
        return [line for line in self.lines if line.results]


def groups(found: Sequence[Line], colour: Mapping[str, str]) -> list[Group]:
    """The lines by stream and scenario, each with its plots."""
    pairs = dict.fromkeys((line.stream, line.scenario) for line in found)
    return [
        _group(
            f"{stream}, scenario {scenario}",
            [line for line in found if (line.stream, line.scenario) == (stream, scenario)],
            colour,
        )
        for stream, scenario in pairs
    ]


def _group(title: str, here: Sequence[Line], colour: Mapping[str, str]) -> Group:
    done = [line for line in here if line.results]
    maps = [Panel(line.label, heatmap(f"{title}: {line.label}", line.results)) for line in done]
    rows = head_start(done)
    return Group(
        title,
        tuple(here),
        tuple(maps),
        _over_tasks(title, done, colour),
        tuple(
            Panel(
                f"Accuracy against {MEASURES[cost].title}",
                tradeoff(f"{title}: {cost}", done, colour, cost),
            )
            for cost in COSTS
            if any(mean(line, cost) > 0 for line in done)
        ),
        tuple(rows),
        plot(f"{title}: head start", done, colour) if rows else "",
        conclusion(rows) if rows else "",
    )


def _over_tasks(title: str, done: Sequence[Line], colour: Mapping[str, str]) -> tuple[Panel, ...]:
    if not done or len(done[0].results[0].matrix.tasks) < 2:
        return ()
    return (
        Panel("Accuracy on the tasks so far", accuracy_so_far(f"{title}: accuracy", done, colour)),
        Panel("Forgetting", forgetting_so_far(f"{title}: forgetting", done, colour)),
        Panel("Accuracy on the newest task", newest(f"{title}: newest task", done, colour)),
    )
