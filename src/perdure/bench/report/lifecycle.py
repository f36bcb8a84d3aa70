"""Life cycles as one HTML file: curves over batches, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from perdure.bench.report.colours import colours, dashes
from perdure.bench.report.group import Panel
from perdure.bench.report.template import rendered
from perdure.bench.table import DASH, percent, scaled, seconds
from perdure.errors import InvalidValue, require
from perdure.figure import figure
from perdure.measure import LifeCycle, LifeCycleSavings, Moment, Saved, life_cycle_savings

SIZE = (4.9, 3.3)
Reading = Callable[[Moment], float | None]
PANELS: Mapping[str, tuple[Reading, str, bool]] = {
    "Accuracy on the classes so far": (lambda m: m.accuracy_seen, "%", False),
    "Accuracy on all classes": (lambda m: m.accuracy, "%", False),
    "FLOPs of each batch": (lambda m: m.cost.flops, "FLOPs", True),
    "CPU seconds of each batch": (lambda m: m.cost.cpu_seconds, "seconds", True),
    "Rows read for each batch": (lambda m: m.cost.rows, "rows", True),
    "Memory held after each batch": (lambda m: m.held_bytes, "bytes", True),
}
"""By title: what is read off a moment, its unit, and whether the scale is logarithmic."""


def write_life_cycles(
    cycles: Sequence[LifeCycle],
    reference: str,
    path: str | Path,
    title: str = "perdure lifecycle",
    lead: str = "",
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Write one HTML file without references to any other, light or dark as its reader has it.

    Args:
        cycles: over one stream; their names begin with that of a method.
        reference: the name of the one that the others are held against.
        path: of the file; its folder is made.
        title: of the page.
        lead: a sentence or two below it.
        notes: further facts by name, such as versions and settings.

    Raises:
        InvalidValue: there is no reference among them.
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    held = {cycle.name: cycle for cycle in cycles}
    if reference not in held:
        raise InvalidValue(f"there is no life cycle of {reference!r}; there are {sorted(held)}")
    colour = colours(list(held))
    text = rendered(
        "lifecycle.html.j2",
        {
            "title": title,
            "lead": lead,
            "reference": reference,
            "rows": [row(cycle, held[reference]) for cycle in cycles],
            "panels": [Panel(name, _panel(name, cycles, colour)) for name in PANELS],
            "names": list(held),
            "colour": colour,
            "dash": {
                name: " ".join(str(2 * on) for on in dashes(method_of(name))) for name in held
            },
            "notes": dict(notes or {}),
        },
    )
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def row(cycle: LifeCycle, reference: LifeCycle) -> dict[str, str]:
    """What a table says of one life cycle, by column; shares saved are those of the reference."""
    cost, last = cycle.cost, cycle.moments[-1]
    cells = {
        "method": cycle.name,
        "final accuracy": _said(cycle.final_accuracy(), percent),
        "mean accuracy": _said(cycle.accuracy(), percent),
        "FLOPs": scaled(cost.flops).strip(),
        "CPU seconds": seconds(cost.cpu_seconds),
        "memory": f"{scaled(last.held_bytes)}B",
        "bytes a row": _said(cycle.bytes_per_row(), lambda value: f"{value:,.0f}"),
    }
    savings = life_cycle_savings(cycle, reference)
    return {**cells, **(_against(savings) if cycle.name != reference.name else {})}


def method_of(name: str) -> str:
    """The method that a life cycle's name begins with."""
    return name.split(" ", 1)[0]


def _against(savings: LifeCycleSavings) -> dict[str, str]:
    return {
        "final gap": _said(savings.final_gap, percent),
        "mean gap": _said(savings.gap, percent),
        "FLOPs saved": _both(savings.flops),
        "seconds saved": _both(savings.cpu_seconds),
        "memory saved": _said(savings.memory.last, percent),
    }


def _both(saved: Saved) -> str:
    """Over the whole life, and at the last batch."""
    return f"{_said(saved.whole, _fine)} / {_said(saved.last, _fine)}"


def _fine(value: float) -> str:
    """A share in percent, with two decimals: 99.9 and 99.99 are a factor of ten apart."""
    return f"{100 * value:.2f}"


def _said(value: float | None, show: Callable[[float], str]) -> str:
    return DASH if value is None else show(value)


def _panel(title: str, cycles: Sequence[LifeCycle], colour: Mapping[str, str]) -> str:
    read, unit, logarithmic = PANELS[title]

    def draw(axes: Any) -> None:
        for cycle in cycles:
            points = [(i, read(moment)) for i, moment in enumerate(cycle.moments, 1)]
            factor = 100 if unit == "%" else 1
            shown = [(i, factor * y) for i, y in points if y is not None and (y or not logarithmic)]
            dash = dashes(method_of(cycle.name))
            style = {"dashes": dash} if dash else {}
            x, y = [i for i, _ in shown], [value for _, value in shown]
            axes.plot(x, y, color=colour[cycle.name], linewidth=1.4, **style)
        if logarithmic:
            _scale(axes)
        axes.set_xlabel("batches")
        axes.set_ylabel(unit)
        axes.margins(x=0.02)

    return figure(title, SIZE, draw)


def _scale(axes: Any) -> None:
    """Logarithmic, with ticks at 1, 2 and 5 where it spans few powers of ten."""
    ticker = require("matplotlib.ticker", "lab")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = (1.0,) if high / low > 300 else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(_tick))
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def _tick(value: float, _: int) -> str:
    """Large numbers with a prefix, small ones as 0.02 or 5e-3: a figure keeps two decimals."""
    if value >= 1:
        return scaled(value).strip()
    return f"{value:g}" if value >= 0.01 else f"{value:.0e}".replace("e-0", "e-")
