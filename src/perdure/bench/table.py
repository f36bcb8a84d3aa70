"""Means and standard deviations over seeds: for the terminal, for machines, for the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from perdure.bench.presets import PRESETS
from perdure.bench.result import NoResult, Record, Result
from perdure.measure import Summary, summarise
from perdure.scenario import Scenario


@dataclass(frozen=True)
class Line:
    """Runs that differ in their seed alone.

    Attributes:
        stream: how the tasks were made, and from what.
        scenario: what was known at inference.
        label: the method, with the settings that tell it from other lines of the same method.
        results: of the runs that finished, by seed.
        summaries: of each measure over them; None where a measure was not measured.
        reason: why the others did not finish; empty where all did.
    """

    stream: str
    scenario: str
    label: str
    results: tuple[Result, ...]
    summaries: dict[str, Summary | None]
    reason: str = ""

    @property
    def method(self) -> str:
        """The method's name, without settings."""
        return self.label.split(" ", 1)[0]


@dataclass(frozen=True)
class Measure:
    """How a measure is shown."""

    title: str
    show: Callable[[float], str]


def percent(value: float) -> str:
    """A fraction in percent."""
    return f"{round(100 * value, 1) + 0.0:.1f}"  # adding 0 makes -0 a 0


def seconds(value: float) -> str:
    """Seconds, with decimals only where they say something."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def scaled(value: float) -> str:
    """A large number with a unit prefix: 1.2 M, 3.4 G."""
    for size, prefix in ((1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{prefix}"
    return f"{value:.3g} "


MEASURES = {
    "accuracy": Measure("accuracy", percent),
    "forgetting": Measure("forgetting", percent),
    "bwt": Measure("BWT", percent),
    "fwt": Measure("FWT", percent),
    "seconds": Measure("seconds", seconds),
    "flops": Measure("FLOPs", lambda value: scaled(value).strip()),
    "updates": Measure("updates", lambda value: f"{value:,.0f}"),
    "state_bytes": Measure("memory", lambda value: f"{scaled(value)}B"),
    "parameters": Measure("parameters", lambda value: scaled(value).strip()),
}
DASH = "\N{EN DASH}"
"""What stands where nothing was measured."""

WIDEST = 10_000  # characters: no table is cut
PRINTED = ("accuracy", "forgetting", "bwt", "fwt", "seconds", "flops", "updates", "state_bytes")
SPREAD = {"accuracy", "forgetting", "bwt", "fwt", "seconds"}
"""Measures whose standard deviation is shown; the others hardly differ from seed to seed."""


def lines(records: Iterable[Record]) -> list[Line]:
    """The records by group, in the order in which each group first appears."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.experiment.group, []).append(record)
    labels = _labels([group[0] for group in groups.values()])
    return [_line(label, group) for label, group in zip(labels, groups.values(), strict=True)]


def in_order(records: Iterable[Record]) -> list[Record]:
    """By stream, scenario, method and seed, in the order in which `perdure methods` has them."""
    scenarios, methods = list(Scenario), list(PRESETS)
    return sorted(
        records,
        key=lambda record: (
            record.experiment.stream,
            scenarios.index(Scenario(record.experiment.scenario)),
            methods.index(record.experiment.method),
            record.experiment.seed,
        ),
    )


def cell(line: Line, name: str) -> str:
    """Mean ± standard deviation of a measure, or a dash where it was not measured."""
    summary, show = line.summaries.get(name), MEASURES[name].show
    if summary is None:
        return DASH
    spread = summary.std is not None and name in SPREAD
    return f"{show(summary.mean)} ± {show(summary.std or 0)}" if spread else show(summary.mean)


def mean(line: Line, name: str) -> float:
    """The mean of a measure, 0 where it was not measured."""
    summary = line.summaries.get(name)
    return 0.0 if summary is None else summary.mean


def tables(found: Sequence[Line]) -> list[Table]:
    """One table for each stream and scenario that has a result, for `rich` to print."""
    made = []
    done = (line for line in found if line.results)
    for stream, scenario in dict.fromkeys((line.stream, line.scenario) for line in done):
        table = Table(
            title=f"{stream}, scenario {scenario}",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        table.add_column("method", style="bold")
        for name in PRINTED:
            table.add_column(MEASURES[name].title, justify="right")
        for line in found:
            if (line.stream, line.scenario) == (stream, scenario) and line.results:
                cells = [cell(line, name).replace(" ± ", "±") for name in PRINTED]
                table.add_row(line.label, *cells)
        made.append(table)
    return made


def show(found: Sequence[Line], console: Console) -> None:
    """Print the tables and, below them, what was refused or failed.

    A console that is narrower than a table does not cut its numbers: its lines run over.
    """
    for table in tables(found):
        print_whole(table, console)
    for reason in refusals(found):
        console.print(f"- {reason}", markup=False, highlight=False, soft_wrap=True)


def print_whole(table: Table, console: Console) -> None:
    """Print a table with all its columns, however narrow the console is."""
    wanted = console.measure(table, options=console.options.update(max_width=WIDEST)).maximum
    wide = Console(file=console.file, width=max(console.width, wanted), highlight=False)
    wide.print(table)


def refusals(found: Iterable[Line]) -> list[str]:
    """What did not run or finish, and why: one sentence a line."""
    return [
        f"{line.label} ({line.stream}, {line.scenario}): {line.reason}"
        for line in found
        if line.reason
    ]


def to_json(records: Iterable[Record]) -> dict[str, Any]:
    """Everything as plain values: each run, and the summaries over seeds."""
    held = list(records)
    return {
        "summaries": [
            {
                "stream": line.stream,
                "scenario": line.scenario,
                "method": line.label,
                "seeds": [result.experiment.seed for result in line.results],
                "reason": line.reason or None,
                **{name: _plain(summary) for name, summary in line.summaries.items()},
            }
            for line in lines(held)
        ],
        "runs": [_run(record) for record in held],
    }


def _line(label: str, group: Sequence[Record]) -> Line:
    results = sorted(
        (record for record in group if isinstance(record, Result)),
        key=lambda result: result.experiment.seed,
    )
    missing = [record for record in group if isinstance(record, NoResult)]
    reason = ""
    if missing:
        some = "" if not results else f"seed {', '.join(str(m.experiment.seed) for m in missing)} "
        reason = f"{some}{missing[0].status}: {missing[0].reason}"
    first = group[0].experiment
    return Line(
        first.stream,
        first.scenario,
        label,
        tuple(results),
        summarise([result.measures() for result in results]) if results else {},
        reason,
    )


def _labels(firsts: Sequence[Record]) -> list[str]:
    """The methods' names; where a name comes twice in a scenario, with what tells them apart."""
    names = [(r.experiment.stream, r.experiment.scenario, r.experiment.method) for r in firsts]
    return [
        record.experiment.method
        if names.count(name) == 1
        else _told_apart(record, [r for r, n in zip(firsts, names, strict=True) if n == name])
        for record, name in zip(firsts, names, strict=True)
    ]


def _told_apart(record: Record, alike: Sequence[Record]) -> str:
    mine = _flat(record)
    others = [_flat(other) for other in alike]
    differing = [k for k in mine if any(other.get(k) != mine[k] for other in others)]
    return " ".join([record.experiment.method, *(f"{key}={mine[key]}" for key in differing)])


def _flat(record: Record) -> dict[str, Any]:
    held = record.experiment.to_dict()
    nested = {**held.pop("settings"), **held.pop("schedule")}
    held.pop("seed")
    return {**held, **nested}


def _plain(summary: Summary | None) -> dict[str, Any] | None:
    return None if summary is None else {"mean": summary.mean, "std": summary.std}


def _run(record: Record) -> dict[str, Any]:
    common = {"key": record.experiment.key, "experiment": record.experiment.to_dict()}
    if isinstance(record, NoResult):
        return {**common, "status": record.status, "reason": record.reason}
    return {
        **common,
        "status": "done",
        **asdict(record.cost),
        **record.measures(),
        "matrix": record.matrix.to_dict(),
        "curves": record.curves,
        "environment": dict(record.environment),
    }
