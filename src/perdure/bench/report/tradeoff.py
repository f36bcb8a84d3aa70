"""What accuracy costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perdure.bench.table import MEASURES, Line, mean, scaled
from perdure.errors import require
from perdure.figure import FAINT, INK, figure

SIZE = (4.9, 3.6)
FONT = 8.5
OFFSETS = tuple(
    (side * x, y)
    for x, y in ((6, 3), (6, -10), (0, 9), (0, -16), (14, 15), (14, -22), (26, 27), (26, -34))
    for side in (1, -1)
)
"""Where a label may stand, in points from its mark; the first that is free is taken."""

Box = tuple[float, float, float, float]


def tradeoff(title: str, found: Sequence[Line], colour: Mapping[str, str], cost: str) -> str:
    """Final accuracy against a cost, a point a method with its deviation over seeds; log scale.

    Args:
        title: unique on the page.
        found: lines with results.
        colour: of each label.
        cost: "flops", "seconds" or "state_bytes".
    """
    points = {
        line.label: (mean(line, cost), 100 * mean(line, "accuracy"))
        for line in found
        if mean(line, cost) > 0 and line.summaries["accuracy"] is not None
    }

    def draw(axes: Any) -> None:
        for line in found:
            if line.label in points:
                x, y = points[line.label]
                summary = line.summaries["accuracy"]
                spread = 100 * ((summary and summary.std) or 0)
                look = {"color": colour[line.label], "marker": "o", "markersize": 6}
                axes.errorbar(x, y, yerr=spread, elinewidth=1, **look)
        axes.set_xscale("log")
        axes.margins(x=0.16, y=0.12)
        _tick(axes, [x for x, _ in points.values()])
        axes.set_xlabel(MEASURES[cost].title)
        axes.set_ylabel("accuracy, %")
        _label(axes, points)

    return figure(title, SIZE, draw)


def _tick(axes: Any, values: Sequence[float]) -> None:
    """Ticks at 1, 2 and 5, or at powers of ten alone where there are many."""
    ticker = require("matplotlib.ticker", "lab")
    wide = max(values) / min(values) > 30
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: scaled(value)))
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def _label(axes: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """A name at each mark, away from marks and other names."""
    marks = {name: axes.transData.transform(point) for name, point in points.items()}
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in marks.values()]
    for name, (x, y) in marks.items():
        options = [(dx, dy, _box(x, y, dx, dy, name)) for dx, dy in OFFSETS]
        free = [option for option in options if not any(_meet(option[2], box) for box in taken)]
        dx, dy, box = (free or options)[0]
        taken.append(box)
        axes.annotate(
            name,
            points[name],
            xytext=(dx, dy),
            textcoords="offset points",
            fontsize=FONT,
            color=INK,
            ha="left" if dx > 0 else "right" if dx < 0 else "center",
            arrowprops={"arrowstyle": "-", "color": FAINT} if abs(dy) > 12 else None,
        )


def _box(x: float, y: float, dx: float, dy: float, name: str) -> Box:
    """Where a name would stand, in pixels of matplotlib's 100 an inch; 72 points are an inch."""
    unit = 100 / 72
    width, height = 0.6 * FONT * len(name) * unit, FONT * unit
    left = x + dx * unit - (0 if dx > 0 else width if dx < 0 else width / 2)
    return left, y + dy * unit, left + width, y + dy * unit + height


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
