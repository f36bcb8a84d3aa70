"""What accuracy costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perdure.bench.report.figure import INK, figure
from perdure.bench.table import MEASURES, Line

SIZE = (4.9, 3.5)


def tradeoff(title: str, found: Sequence[Line], colour: Mapping[str, str], cost: str) -> str:
    """Final accuracy against a cost, a point a method with the deviation over seeds; log scale.

    Args:
        title: unique on the page.
        found: at least one line with results.
        colour: of each label.
        cost: "flops", "seconds" or "state_bytes".
    """

    def draw(axes: Any) -> None:
        for line in found:
            accuracy, spent = line.summaries["accuracy"], line.summaries[cost]
            if accuracy is None or spent is None or spent.mean <= 0:
                continue
            axes.errorbar(
                spent.mean,
                100 * accuracy.mean,
                yerr=100 * (accuracy.std or 0),
                color=colour[line.label],
                marker="o",
                markersize=6,
                elinewidth=1,
            )
            axes.annotate(
                line.label,
                (spent.mean, 100 * accuracy.mean),
                xytext=(6, 4),
                textcoords="offset points",
                fontsize=8.5,
                color=INK,
            )
        axes.set_xscale("log")
        axes.margins(x=0.18, y=0.1)
        axes.grid(visible=True, which="major")
        axes.set_xlabel(MEASURES[cost].title)
        axes.set_ylabel("accuracy, %")

    return figure(title, SIZE, draw)
